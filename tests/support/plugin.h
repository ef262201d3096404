// A library that is loaded and unloaded: tests/gc/plugins/plugin.cc. Programs that use it are named in tests/gc/CMakeLists.txt.
#pragma once

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <utility>

#include "gc/model/loaded_code.h"
#include "tests/gc/plugins/plugin.h"
#include "tests/support/hidden.h"

namespace lull::testing {

class Plugin {
 public:
  explicit Plugin(const char* file = LULL_TEST_PLUGIN) : handle_(::dlopen(file, RTLD_NOW | RTLD_LOCAL)) {
    EXPECT_NE(handle_, nullptr) << ::dlerror();
    functions_ = static_cast<const PluginFunctions*>(::dlsym(handle_, "plugin_functions"));
  }
  ~Plugin() {
    if (handle_ == nullptr) return;
    drop();
    EXPECT_EQ(close(), 0u);
  }
  Plugin(const Plugin&) = delete;
  Plugin& operator=(const Plugin&) = delete;

  const PluginFunctions* operator->() const { return functions_; }
  void* handle() const { return handle_; }
  // On a thread of its own, whose stack has seen the objects.
  void drop() const {
    elsewhere([this] { functions_->drop(); });
  }
  std::size_t close() {
    const std::size_t left = close_library(handle_).objects;
    if (left == 0) handle_ = nullptr;
    return left;
  }
  void close_without_lull() { ::dlclose(std::exchange(handle_, nullptr)); }
  bool is_loaded() const { return gc::loaded_code_at(functions_).end != 0; }

 private:
  void* handle_;
  const PluginFunctions* functions_ = nullptr;
};

}  // namespace lull::testing

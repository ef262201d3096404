// Libraries that come and go while malloc is lull's, and the flag RTLD_DEEPBIND.
#include <gtest/gtest.h>

#include <dlfcn.h>

#include <cstdlib>
#include <string>
#include <thread>

#include "tests/alloc/support.h"
#include "tests/programs/heap_extent.h"

namespace {

using lull::testing::heap_extent;

class Plugin {
 public:
  explicit Plugin(const char* name, int flags = RTLD_NOW | RTLD_LOCAL) : handle_(dlopen(name, flags)) {
    if (handle_ == nullptr) std::fprintf(stderr, "%s\n", dlerror());
  }
  ~Plugin() {
    if (handle_ != nullptr) dlclose(handle_);
  }
  Plugin(const Plugin&) = delete;
  Plugin& operator=(const Plugin&) = delete;
  explicit operator bool() const { return handle_ != nullptr; }
  template <class Function>
  Function* find(const char* name) const {
    return reinterpret_cast<Function*>(dlsym(handle_, name));
  }

 private:
  void* handle_;
};

void expect_shared_heap(const Plugin& plugin) {
  ASSERT_TRUE(plugin);
  for (const std::size_t size : {10u, 1000u, 100'000u}) {
    void* made = plugin.find<void*(std::size_t)>("plugin_make")(size);
    EXPECT_TRUE(heap_extent().contains(made));
    std::free(made);
    plugin.find<void(void*)>("plugin_end")(std::malloc(size));
  }
  char* text = plugin.find<char*(const char*)>("plugin_text")("text");
  EXPECT_TRUE(heap_extent().contains(text));
  std::free(text);
  auto* object = plugin.find<std::string*()>("plugin_object")();
  EXPECT_TRUE(heap_extent().contains(object));
  delete object;
}

TEST(Loading, ComesAndGoesManyTimes) {
  ASSERT_NE(0u, heap_extent().size());
  for (int i = 0; i < 300; ++i) expect_shared_heap(Plugin(LULL_TEST_PLUGIN));
}

TEST(Loading, ThreadsUseThePluginAndEnd) {
  for (int i = 0; i < 50; ++i) {
    Plugin plugin(LULL_TEST_PLUGIN);
    ASSERT_TRUE(plugin);
    lull::testing::run_together(3, [&](unsigned) {
      for (int n = 0; n < 5; ++n) plugin.find<void()>("plugin_use_thread")();
    });
  }
}

TEST(Loading, ByManyThreadsAtOnce) {
  lull::testing::run_together(4, [](unsigned) {
    for (int i = 0; i < 50; ++i) expect_shared_heap(Plugin(LULL_TEST_PLUGIN));
  });
}

// A library loaded so called the C library's malloc, and our free stopped the program at its block.
TEST(DeepBind, StillSharesTheHeap) {
  for (const int flags : {RTLD_NOW | RTLD_DEEPBIND, RTLD_LAZY | RTLD_DEEPBIND | RTLD_GLOBAL})
    for (int i = 0; i < 20; ++i) expect_shared_heap(Plugin(LULL_TEST_PLUGIN, flags));
}

// dlopen has to see its real caller to know this.
TEST(DeepBind, TheCallersRunpathCounts) {
  for (const int flags : {RTLD_NOW, RTLD_NOW | RTLD_DEEPBIND}) {
    Plugin outer(LULL_TEST_OUTER);
    ASSERT_TRUE(outer);
    EXPECT_EQ(nullptr, dlopen("liblull_test_inner.so", flags)) << "this program has no RUNPATH that leads there";
    void* inner = outer.find<void*(int)>("outer_load")(flags);
    EXPECT_NE(nullptr, inner) << dlerror();
    if (inner != nullptr) dlclose(inner);
  }
}

TEST(DeepBind, ErrorsAndTheProgramItselfAreAsBefore) {
  EXPECT_EQ(nullptr, dlopen("there_is_no_such_library.so", RTLD_NOW | RTLD_DEEPBIND));
  EXPECT_NE(nullptr, dlerror());
  void* self = dlopen(nullptr, RTLD_NOW);
  EXPECT_NE(nullptr, self);
  dlclose(self);
}

}  // namespace

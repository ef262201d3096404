// The C++ library's own operator new, behind ours in the order of look-up, calls malloc, which is ours and fails, then the
// new-handlers, and throws: all that is left to do. Looked up only now, so that liblull-malloc.so does not need the C++
// library: loading it cost every preloaded program of C 0.4 ms and 1 MB of resident memory, 140 KB of it its own.
#include "alloc/replace/new_failure.h"

#include <dlfcn.h>

#include <new>

#include "alloc/base/check.h"

namespace lull::replace {
namespace {

// nullptr when the process has no C++ library. In a plugin of a program without one it is not in the global order.
void* next_definition(const char* name) {
  if (void* found = ::dlsym(RTLD_NEXT, name)) return found;
  void* library = ::dlopen("libstdc++.so.6", RTLD_NOW | RTLD_NOLOAD);
  return library != nullptr ? ::dlsym(library, name) : nullptr;
}

template <class Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(next_definition(name));
}

[[noreturn, gnu::cold]] void nobody_throws(std::size_t size) {
  fatal("operator new of %zu bytes: out of memory, and there is no C++ library to throw std::bad_alloc", size);
}

}  // namespace

void* new_failed(std::size_t size) {
  auto* make = next<void*(std::size_t)>("_Znwm");
  if (make == nullptr) nobody_throws(size);
  return make(size);
}
void* new_failed(std::size_t size, std::size_t alignment) {
  auto* make = next<void*(std::size_t, std::align_val_t)>("_ZnwmSt11align_val_t");
  if (make == nullptr) nobody_throws(size);
  return make(size, std::align_val_t{alignment});
}
// These call our throwing ones, and so come by here again.
void* new_failed_nothrow(std::size_t size) noexcept {
  auto* make = next<void*(std::size_t, const std::nothrow_t&)>("_ZnwmRKSt9nothrow_t");
  const std::nothrow_t none{};
  return make != nullptr ? make(size, none) : nullptr;
}
void* new_failed_nothrow(std::size_t size, std::size_t alignment) noexcept {
  auto* make = next<void*(std::size_t, std::align_val_t, const std::nothrow_t&)>("_ZnwmSt11align_val_tRKSt9nothrow_t");
  const std::nothrow_t none{};
  return make != nullptr ? make(size, std::align_val_t{alignment}, none) : nullptr;
}

}  // namespace lull::replace

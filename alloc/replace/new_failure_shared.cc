// The C++ library's own operator new, behind ours in the order of look-up, calls malloc, which is ours and fails, then the
// new-handlers, and throws: all that is left to do. Looked up only now, so that liblull-malloc.so does not need the C++
// library: loading it cost every preloaded program of C 0.4 ms and 1 MB of resident memory, 140 KB of it its own.
#include "alloc/replace/new_failure.h"

#include <dlfcn.h>

#include <new>

#include "alloc/base/check.h"
#include "alloc/front/malloc_calls.h"

extern "C" {
[[gnu::weak, noreturn]] void lull_throw_bad_alloc() __asm__("_ZSt17__throw_bad_allocv");
[[gnu::weak]] std::new_handler lull_new_handler() noexcept __asm__("_ZSt15get_new_handlerv");
}

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

// As the C++ library's would.
template <class Allocate>
void* new_of_static_library(std::size_t size, Allocate allocate) {
  for (;;) {
    const std::new_handler handler = lull_new_handler != nullptr ? lull_new_handler() : nullptr;
    if (handler == nullptr) break;
    handler();
    if (void* block = allocate()) return block;
  }
  if (lull_throw_bad_alloc == nullptr) nobody_throws(size);
  lull_throw_bad_alloc();
}

}  // namespace

void* new_failed(std::size_t size) {
  auto* make = next<void*(std::size_t)>("_Znwm");
  return make != nullptr ? make(size) : new_of_static_library(size, [=] { return front::call_malloc(size); });
}
void* new_failed(std::size_t size, std::size_t alignment) {
  auto* make = next<void*(std::size_t, std::align_val_t)>("_ZnwmSt11align_val_t");
  return make != nullptr ? make(size, std::align_val_t{alignment}) : new_of_static_library(size, [=] { return front::call_aligned_alloc(alignment, size); });
}
// Without new-handlers where the library is static: one may throw, and nobody here catches.
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

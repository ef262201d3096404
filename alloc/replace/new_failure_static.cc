#include "alloc/replace/new_failure.h"

#include <new>

#include "alloc/front/malloc_calls.h"

namespace lull::replace {
namespace {

template <class Allocate>
void* with_handler(Allocate&& allocate) {
  for (;;) {
    const std::new_handler handler = std::get_new_handler();
    if (handler == nullptr) throw std::bad_alloc();
    handler();
    if (void* block = allocate()) return block;
  }
}

template <class New>
void* or_null(New&& make) noexcept {
  try {
    return make();
  } catch (...) {
    return nullptr;
  }
}

}  // namespace

void* new_failed(std::size_t size) {
  return with_handler([=] { return front::call_malloc(size); });
}
void* new_failed(std::size_t size, std::size_t alignment) {
  return with_handler([=] { return front::call_aligned_alloc(alignment, size); });
}
void* new_failed_nothrow(std::size_t size) noexcept {
  return or_null([=] { return new_failed(size); });
}
void* new_failed_nothrow(std::size_t size, std::size_t alignment) noexcept {
  return or_null([=] { return new_failed(size, alignment); });
}

}  // namespace lull::replace

// A stack of plain records in mapped pages, for the walks of reports, which may not allocate.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "alloc/os/vm.h"

namespace lull::gc {

template <class T>
class PageStack {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  PageStack() = default;
  PageStack(const PageStack&) = delete;
  PageStack& operator=(const PageStack&) = delete;
  ~PageStack() {
    while (top_ != nullptr) drop_page();
    if (spare_ != nullptr) os::unmap(spare_, kPageBytes);
  }

  bool empty() const { return top_ == nullptr; }
  // False when memory runs out.
  [[nodiscard]] bool push(const T& value) {
    if (top_ == nullptr || top_->count == kRecords)
      if (!add_page()) return false;
    top_->records[top_->count++] = value;
    return true;
  }
  T pop() {
    const T value = top_->records[--top_->count];
    if (top_->count == 0) drop_page();
    return value;
  }
  template <class Visit>
  void for_each(Visit&& visit) {
    for (Page* page = top_; page != nullptr; page = page->below)
      for (std::uint32_t i = 0; i < page->count; ++i) visit(page->records[i]);
  }

 private:
  static constexpr std::size_t kPageBytes = 64 * 1024;
  static constexpr std::uint32_t kRecords = (kPageBytes - 16) / sizeof(T);
  struct Page {
    Page* below;
    std::uint32_t count;
    T records[kRecords];
  };
  static_assert(sizeof(Page) <= kPageBytes);

  bool add_page() {
    Page* page = spare_ != nullptr ? spare_ : static_cast<Page*>(os::map(kPageBytes));
    if (page == nullptr) return false;
    spare_ = nullptr;
    page->below = top_;
    page->count = 0;
    top_ = page;
    return true;
  }
  void drop_page() {
    Page* page = top_;
    top_ = page->below;
    if (spare_ == nullptr) spare_ = page;
    else os::unmap(page, kPageBytes);
  }

  Page* top_ = nullptr;
  Page* spare_ = nullptr;
};

}  // namespace lull::gc

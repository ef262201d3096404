#include "gc/mutator/word_buffer.h"

#include <utility>

#include "alloc/os/checker.h"
#include "alloc/os/vm.h"
#include "lull/detail/heap_range.h"

namespace lull::gc {
namespace {
constexpr std::size_t kFirstBytes = 80 * 1024;  // 10240 pointers: a stack of 64 KiB full of them, and some frames more
constexpr std::size_t kSystemPage = 4096;
constexpr std::size_t kGrowth = 8;
}  // namespace

bool WordBuffer::reserve() {
  if (words_ != nullptr) return true;
  if (!grow()) return false;
  // Touched now: a page fault costs more than copying a page's worth of words during the pause.
  for (std::size_t at = 0; at < kFirstBytes; at += kSystemPage) reinterpret_cast<volatile char*>(words_)[at] = 0;
  return true;
}

bool WordBuffer::grow() {
  const std::size_t bytes = words_ == nullptr ? kFirstBytes : capacity_ * sizeof(*words_) * kGrowth;
  auto* larger = static_cast<std::uintptr_t*>(os::map(bytes));
  if (larger == nullptr) return false;
  for (std::size_t i = 0; i < count_; ++i) larger[i] = words_[i];
  if (words_ != nullptr) os::unmap(words_, capacity_ * sizeof(*words_));
  words_ = larger;
  capacity_ = bytes / sizeof(*words_);
  return true;
}

void WordBuffer::shrink() {
  if (capacity_ * sizeof(*words_) <= kFirstBytes) return;
  os::unmap(words_, capacity_ * sizeof(*words_));
  words_ = nullptr;
  count_ = capacity_ = 0;
  if (!reserve()) return;  // the next scan tries again
}

// Reads other frames' memory, red zones and all, while nobody else may write it: sanitizers must look away.
[[gnu::no_sanitize_address, gnu::no_sanitize_thread, gnu::noinline]] bool WordBuffer::copy_range(std::uintptr_t low,
                                                                                                 std::uintptr_t high) {
  constexpr std::uintptr_t mask = sizeof(std::uintptr_t) - 1;
  const std::uintptr_t base = detail::heap_range.base;
  const std::size_t size = detail::heap_range.size;
  os::UncheckedScan unchecked;
  const std::size_t before = count_;
  for (std::uintptr_t at = (low + mask) & ~mask; at + mask < high; at += sizeof(std::uintptr_t)) {
    const std::uintptr_t word = *reinterpret_cast<const volatile std::uintptr_t*>(at);
    if (word - base >= size) [[likely]] continue;
    if (count_ == capacity_ && !grow()) return false;
    words_[count_++] = word;
  }
  unchecked.copied(words_ + before, (count_ - before) * sizeof *words_);
  return fake_stack_ == nullptr || copy_fake_frames(low, high);
}

[[gnu::no_sanitize_address, gnu::no_sanitize_thread]] bool WordBuffer::copy_fake_frames(std::uintptr_t low, std::uintptr_t high) {
  void* const fake_stack = std::exchange(fake_stack_, nullptr);  // what they hold of their kind is on the stack, too
  bool complete = true;
  for (std::uintptr_t at = low & ~std::uintptr_t{7}; complete && at + 7 < high; at += sizeof(std::uintptr_t)) {
    const os::Range frame = os::fake_frame_at(fake_stack, *reinterpret_cast<const volatile std::uintptr_t*>(at));
    complete = frame.from == frame.to || copy_range(frame.from, frame.to);
  }
  fake_stack_ = fake_stack;
  return complete;
}

}  // namespace lull::gc

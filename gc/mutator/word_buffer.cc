#include "gc/mutator/word_buffer.h"

#include <algorithm>
#include <utility>

#include "alloc/os/checker.h"
#include "alloc/os/vm.h"
#include "lull/detail/heap_range.h"

namespace lull::gc {
namespace {
constexpr std::size_t kFirstBytes = 80 * 1024;  // 10240 pointers: a stack of 64 KiB full of them, and some frames more
constexpr std::size_t kSystemPage = 4096;
constexpr std::size_t kKeptPart = 4;  // of what was ever used: a buffer of which less was used goes back
constexpr std::size_t kLeastRoom = 256;  // words: the end of a buffer is not worth small copies

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LULL_LOOK_AWAY 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define LULL_LOOK_AWAY 1
#endif
#endif

#ifdef LULL_LOOK_AWAY
// Reads other frames' memory, red zones and all, while nobody else may write it.
[[gnu::no_sanitize_address, gnu::no_sanitize_thread, gnu::noinline]] std::size_t filter_stack(const std::uintptr_t* words, std::size_t count,
                                                                                              std::uintptr_t* out, const detail::HeapRange& range) {
  const std::uintptr_t base = range.base;
  const std::size_t size = range.size;
  std::size_t kept = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uintptr_t word = *static_cast<const volatile std::uintptr_t*>(words + i);
    if (word - base < size) out[kept++] = word;
  }
  return kept;
}
WordFilter best_stack_filter() { return filter_stack; }
#else
WordFilter best_stack_filter() { return best_word_filter(); }
#endif
}  // namespace

void WordBuffer::clear() {
  last_count_ = count_;
  most_count_ = std::max(most_count_, count_);
  count_ = 0;
}

bool WordBuffer::reserve() {
  if (words_ != nullptr) return true;
  if (!grow(0)) return false;
  // Touched now: a page fault costs more than copying a page's worth of words during the pause.
  for (std::size_t at = 0; at < kFirstBytes; at += kSystemPage) reinterpret_cast<volatile char*>(words_)[at] = 0;
  return true;
}

// All the room that the rest of the stack may need, at once: what is not used is not touched and costs nothing.
bool WordBuffer::grow(std::size_t room) {
  const std::size_t bytes = std::max(kFirstBytes, (count_ + room + kLeastRoom + kFilterSlack) * sizeof(*words_));
  auto* larger = static_cast<std::uintptr_t*>(os::map(bytes));
  if (larger == nullptr) return false;
  std::copy(words_, words_ + count_, larger);
  if (words_ != nullptr) os::unmap(words_, capacity_ * sizeof(*words_));
  words_ = larger;
  filter_ = best_stack_filter();  // here, where nothing was copied yet: not all are reserved
  capacity_ = bytes / sizeof(*words_);
  return true;
}

void WordBuffer::shrink() {
  if (last_count_ < most_count_ / kKeptPart) give_back();
}

void WordBuffer::give_back() {
  if (capacity_ * sizeof(*words_) <= kFirstBytes) return;
  os::unmap(words_, capacity_ * sizeof(*words_));
  words_ = nullptr;
  count_ = capacity_ = last_count_ = most_count_ = 0;
  reserve();  // if it fails the next scan tries again
}

bool WordBuffer::copy_range(std::uintptr_t low, std::uintptr_t high) {
  constexpr std::uintptr_t mask = sizeof(std::uintptr_t) - 1;
  const std::uintptr_t first = (low + mask) & ~mask;
  const auto* at = reinterpret_cast<const std::uintptr_t*>(first);
  std::size_t left = high > first ? (high - first) / sizeof(*at) : 0;
  os::UncheckedScan unchecked;
  const std::size_t before = count_;
  while (left > 0) {
    std::size_t room = capacity_ - std::min(capacity_, count_ + kFilterSlack);
    if (room < std::min(left, kLeastRoom)) {
      if (!grow(left)) return false;
      room = left;
    }
    const std::size_t now = std::min(left, room);
    count_ += filter_(at, now, words_ + count_, detail::heap_range);
    at += now;
    left -= now;
  }
  unchecked.copied(&count_, sizeof count_);  // it depends on them
  unchecked.copied(words_ + before, (count_ - before) * sizeof(*words_));
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

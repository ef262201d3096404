#include "alloc/front/heap.h"

#include <algorithm>
#include <cstring>

#include "alloc/front/heap_object.h"
#include "alloc/front/large_block.h"
#include "alloc/front/misuse.h"
#include "alloc/front/sampling.h"
#include "alloc/front/secure.h"
#include "alloc/front/span_purge.h"
#include "alloc/front/strangers.h"
#include "alloc/pages/page_heap.h"
#include "alloc/pages/purger.h"
#include "alloc/pages/span_table.h"
#include "alloc/sample/guard_pool.h"

namespace lull::front {
namespace {

constexpr std::size_t kAlignment = 16;

}  // namespace

void* allocate_zeroed(std::size_t bytes) {
  if (bytes > kSmallMost) {
    bool zero;
    void* block = allocate_large(bytes, 1, zero);
    if (block != nullptr && !zero) std::memset(block, 0, bytes);
    return block;
  }
  void* block = allocate(bytes);
  if (block != nullptr) std::memset(block, 0, bytes);
  return block;
}

std::size_t size_for_alignment(std::size_t alignment, std::size_t bytes) {
  if (alignment <= kAlignment) return bytes;
  if (alignment > kPageSize || bytes > kSmallMost) return std::max(bytes, kSmallMost + 1);
  // A class is aligned if its size is a multiple of the alignment; there is one at every power of two.
  for (std::size_t size = round_up(std::max<std::size_t>(bytes, 1), alignment); size <= kSmallMost; size += alignment)
    if (bytes_of_bin(bin_of(size)) % alignment == 0) return size;
  return kSmallMost + 1;
}

void* allocate_aligned(std::size_t alignment, std::size_t bytes) {
  const std::size_t size = size_for_alignment(alignment, bytes);
  if (size <= kSmallMost) return allocate(size);
  bool zero;
  return allocate_large(size, alignment, zero);
}

std::size_t usable_size(const void* address) {
  const auto word = reinterpret_cast<std::uintptr_t>(address);
  if (sample::in_guard_pool(word)) return sample::guarded_bytes(address);
  if (!pages::in_heap(word)) report_bad_free(address);
  if (Span* span = small_span_of(word)) {
    const std::uint32_t slot = span->slot_of(word);
    if (slot >= span->slots || span->slot_address(slot) != word) report_bad_free(address);
    const auto* block = static_cast<const Block*>(address);
    if (is_secure() ? !is_live(*span, word) : block->key == key_of(block)) report_use_of_free_block(address);
    return span->slot_bytes;
  }
  if (Span* span = heap_span_of(word)) {
    const std::uint32_t slot = span->slot_of(word);
    if (slot >= span->slots || span->slot_address(slot) != word || !is_used_in_heap(word)) report_bad_free(address);
    return span->slot_bytes;
  }
  const std::size_t bytes = large_bytes(word);
  if (bytes == 0) report_bad_free(address);
  return bytes;
}

std::size_t good_size(std::size_t bytes) {
  return bytes <= kSmallMost ? bytes_of_bin(bin_of(bytes)) : round_up(bytes, kPageSize);
}

bool resize_in_place(void* address, std::size_t have, std::size_t bytes) {
  if (have > kSmallMost) return bytes > kSmallMost && resize_large(address, bytes);
  if (bytes > have && sample::in_guard_pool(reinterpret_cast<std::uintptr_t>(address))) return false;  // it has what was asked for
  // A block that is half empty or less is worth moving.
  return (bytes <= have && bytes * 2 > have) || (bytes <= kSmallMost && bin_of(bytes) == bin_of(have));
}

void* reallocate(void* address, std::size_t bytes) {
  const std::size_t have = usable_size(address);
  if (resize_in_place(address, have, bytes)) return address;
  void* moved = allocate(bytes);
  if (moved == nullptr) return bytes <= have ? address : nullptr;
  std::memcpy(moved, address, std::min(have, bytes));
  free(address);
  return moved;
}

namespace {

// A block of `have` bytes that was asked for with `bytes`; reallocate() leaves it where it is while it is more than half full.
bool may_have_size(std::size_t have, std::size_t bytes) {
  return have == good_size(bytes) || (bytes <= have && have <= kSmallMost && bytes * 2 > have);
}

}  // namespace

void free_sized_slow(void* address, std::size_t bytes) {
  if (address == nullptr) return;
  const auto word = reinterpret_cast<std::uintptr_t>(address);
  if (pages::in_heap(word)) {
    Span* span = small_span_of(word);
    if (span == nullptr) span = heap_span_of(word);
    const std::size_t have = span != nullptr ? span->slot_bytes : large_bytes(word);
    if (have != 0 && !may_have_size(have, bytes)) report_wrong_size(address, bytes);
  }
  if (sample::in_guard_pool(word)) {  // what was asked for is known, and what it would have otherwise; reallocate() goes by the first
    const std::size_t asked = sample::guarded_bytes(address);
    if (!may_have_size(good_size(asked), bytes) && !may_have_size(asked, bytes)) report_wrong_size(address, bytes);
  }
  free_slow(address);
}

bool trim(std::size_t keep) {
  flush_thread_bins();
  give_unfetched_back();
  trim_secure();
  const std::size_t trimmed = drop_spares() + trim_central() + purge_all_spans();
  return pages::purge_now(keep) + trimmed > 0;
}

}  // namespace lull::front

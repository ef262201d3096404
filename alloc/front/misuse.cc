#include "alloc/front/misuse.h"

#include "alloc/base/check.h"
#include "alloc/front/central.h"
#include "alloc/front/heap.h"
#include "alloc/front/heap_object.h"
#include "alloc/front/large_block.h"
#include "alloc/sample/guard_pool.h"
#include "alloc/sample/history.h"

namespace lull::front {
namespace {

// Where it was allocated and freed, if it is or was a sample.
void say_history(const void* address) {
  const auto word = reinterpret_cast<std::uintptr_t>(address);
  if (sample::in_guard_pool(word)) return sample::say_life(sample::guarded_life(word));
  if (const LargeBlock block = pages::in_heap(word) ? large_block_of(word) : LargeBlock{}) {
    const auto id = pages::reservation.owners[pages::page_of(block.start).value].load(std::memory_order_relaxed);
    Span* span = pages::span_with(static_cast<SpanId>(id));
    if (span->bitmaps != 1) return;
    const sample::Sample& sample = sample::sample_of(span);
    return sample::say_life({block.start, block.bytes, sample.stack, nullptr, sample.thread, 0});
  }
  sample::say_life(sample::find_life(word));
}

}  // namespace

void report_double_free(const void* address) { fatal_about(say_history, address, "double free of %p", address); }

void report_use_of_free_block(const void* address) {
  fatal_about(say_history, address, "use of %p by realloc or malloc_usable_size after it was freed", address);
}
void report_write_after_free(const void* block, std::size_t offset, std::size_t bytes) {
  fatal_about(say_history, block, "write after free: the free block of %zu bytes at %p was changed at offset %zu", bytes, block, offset);
}

void report_bad_free(const void* address) {
  const auto word = reinterpret_cast<std::uintptr_t>(address);
  if (!pages::in_heap(word)) fatal("free of %p, which is no address of this heap", address);
  if (pages::managed_span_of(word) != nullptr) fatal_about(say_history, address, "free of %p, which is a garbage-collected object", address);
  Span* span = small_span_of(word);
  if (span == nullptr) span = heap_span_of(word);
  if (span != nullptr) {
    const std::uint32_t slot = span->slot_of(word);
    if (slot >= span->slots) fatal_about(say_history, address, "free of %p, which is in no block", address);
    if (span->slot_address(slot) != word)
      fatal_about(say_history, address, "free of %p, which is inside a block of %zu bytes at %p", address, span->slot_bytes,
                  reinterpret_cast<void*>(span->slot_address(slot)));
    report_double_free(address);
  }
  if (const LargeBlock block = large_block_of(word)) {
    fatal_about(say_history, address, "free of %p, which is inside a block of %zu bytes at %p", address, block.bytes,
                reinterpret_cast<void*>(block.start));
  }
  if (sample::find_life(word).start == word) report_double_free(address);
  fatal_about(say_history, address, "free of %p, which is no block (freed already?)", address);
}

void report_foreign_heap(const void* address) {
  const auto word = reinterpret_cast<std::uintptr_t>(address);
  const char* whose = heap_of(word) != nullptr ? "another heap" : "malloc";
  static_cast<void>(usable_size(address));  // does not return if it is no block
  fatal_about(say_history, address, "free of %p in a heap, but the block is one of %s", address, whose);
}

void report_wrong_size(const void* address, std::size_t size) {
  const auto word = reinterpret_cast<std::uintptr_t>(address);
  if (sample::in_guard_pool(word))
    fatal_about(say_history, address, "delete of %p with size %zu, but its block has %zu bytes", address, size,
                sample::guarded_bytes(address));
  Span* span = pages::in_heap(word) ? small_span_of(word) : nullptr;
  if (span == nullptr && pages::in_heap(word)) span = heap_span_of(word);
  const LargeBlock block = span == nullptr && pages::in_heap(word) ? large_block_of(word) : LargeBlock{};
  if (span == nullptr && !block) report_bad_free(address);
  fatal_about(say_history, address, "delete of %p with size %zu, but its block has %zu bytes", address, size,
              span != nullptr ? span->slot_bytes : block.bytes);
}

}  // namespace lull::front

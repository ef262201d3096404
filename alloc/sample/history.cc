#include "alloc/sample/history.h"

#include "alloc/base/check.h"
#include "alloc/sample/frame_rules.h"
#include "alloc/sample/stack_memo.h"

namespace lull::sample {
namespace {

// Fields are written one by one; who reads one that is being replaced may get a mixture, in a process that is about to end.
struct Entry {
  std::atomic<std::uintptr_t> start{0};
  std::atomic<std::size_t> bytes{0};
  std::atomic<const Stack*> allocated{nullptr}, freed{nullptr};
  std::atomic<int> allocator{0}, freer{0};
};
constexpr std::uint32_t kEntries = 512;
constinit Entry entries[kEntries];
constinit std::atomic<std::uint32_t> next_entry{0};

}  // namespace

const Stack* note_life(const Sample& sample, std::uintptr_t start, std::size_t bytes) {
  const Stack* freed = intern_own_stack();
  Entry& e = entries[next_entry.fetch_add(1, std::memory_order_relaxed) % kEntries];
  e.start.store(start, std::memory_order_relaxed);
  e.bytes.store(bytes, std::memory_order_relaxed);
  e.allocated.store(sample.stack, std::memory_order_relaxed);
  e.allocator.store(sample.thread, std::memory_order_relaxed);
  e.freer.store(own_thread_number(), std::memory_order_relaxed);
  e.freed.store(freed, std::memory_order_relaxed);
  return freed;
}

BlockLife find_life(std::uintptr_t address) {
  const std::uint32_t newest = next_entry.load(std::memory_order_relaxed);
  for (std::uint32_t i = 1; i <= kEntries; ++i) {
    const Entry& e = entries[(newest - i) % kEntries];
    const std::uintptr_t start = e.start.load(std::memory_order_relaxed);
    const std::size_t bytes = e.bytes.load(std::memory_order_relaxed);
    const Stack* allocated = e.allocated.load(std::memory_order_relaxed);
    if (allocated == nullptr || address - start >= bytes) continue;
    return {start, bytes, allocated, e.freed.load(std::memory_order_relaxed), e.allocator.load(std::memory_order_relaxed),
            e.freer.load(std::memory_order_relaxed)};
  }
  return {};
}

void say_stack(const Stack* stack, const char* what, int thread) {
  say("  %s by thread %d at", what, thread);
  for (std::uint32_t i = 0; i < stack->depth; ++i) {
    const std::uintptr_t call = stack->frames[i] - 1;
    const CodeRange object = object_of(call);
    const char* name = object.name == nullptr ? "?" : object.name[0] == '\0' ? "the program" : object.name;
    say("    #%u %p %s+0x%lx", i, reinterpret_cast<void*>(call), name, object.name == nullptr ? 0 : call - object.load_bias);
  }
}

void say_life(const BlockLife& life) {
  if (life.allocated == nullptr) return;
  say("the block of %zu bytes at %p was", life.bytes, reinterpret_cast<void*>(life.start));
  say_stack(life.allocated, "allocated", life.allocator);
  if (life.freed != nullptr) say_stack(life.freed, "freed", life.freer);
}

}  // namespace lull::sample

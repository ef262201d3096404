// Every stack that a sample was taken on, once, with what was allocated and freed there. Stacks are never removed, so that
// a pointer to one serves as its name. Lock-free; memory from the meta arena.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "alloc/sample/stack_walk.h"

namespace lull::sample {

// What a sample stands for: one in so many blocks is one, so it counts for as many.
struct Weight {
  std::uint64_t objects = 0;  // times 2^16
  std::uint64_t bytes = 0;
};
inline constexpr unsigned kObjectShift = 16;

struct Stack {
  std::atomic<Stack*> next{nullptr};  // in its bucket; constant once published
  std::uint64_t hash = 0;
  const std::uintptr_t* frames = nullptr;
  std::uint32_t depth = 0;
  std::atomic<std::uint64_t> allocated_objects{0}, allocated_bytes{0}, freed_objects{0}, freed_bytes{0};

  void count_allocated(const Weight& weight);
  void count_freed(const Weight& weight);
};

// The entry of this stack, made if there is none; that of the empty stack when there is no memory or the table is full.
Stack* intern_stack(const StackTrace& trace);

inline constexpr std::size_t kStackBuckets = 8192;
extern Stack no_stack;  // the empty one
extern std::atomic<Stack*> stack_buckets[kStackBuckets];
std::size_t stack_count();

// Calls visit(const Stack&) for each; others may be added meanwhile.
template <class Visit>
void for_each_stack(Visit&& visit) {
  if (no_stack.allocated_objects.load(std::memory_order_relaxed) != 0) visit(no_stack);
  for (const auto& bucket : stack_buckets)
    // acquire: pairs with the release in intern_stack()
    for (const Stack* s = bucket.load(std::memory_order_acquire); s != nullptr; s = s->next.load(std::memory_order_acquire))
      visit(*s);
}

}  // namespace lull::sample

#include "alloc/sample/stack_table.h"

#include <algorithm>
#include <new>

#include "alloc/os/meta_arena.h"

namespace lull::sample {

constinit std::atomic<Stack*> stack_buckets[kStackBuckets] = {};
constinit Stack no_stack;

namespace {

constexpr std::size_t kMostStacks = 100'000;  // about 30 MB; further stacks count as the empty one
constinit std::atomic<std::size_t> count{0};

std::uint64_t hash_of(const StackTrace& trace) {
  std::uint64_t hash = trace.depth;
  for (std::uint32_t i = 0; i < trace.depth; ++i) {
    hash = (hash ^ trace.frames[i]) * 0x9e3779b97f4a7c15u;
    hash ^= hash >> 32;
  }
  return hash;
}

bool is_same(const Stack& stack, const StackTrace& trace, std::uint64_t hash) {
  return stack.hash == hash && stack.depth == trace.depth && std::equal(trace.frames, trace.frames + trace.depth, stack.frames);
}

// From `first` up to, and without, `end`.
Stack* find(Stack* first, const Stack* end, const StackTrace& trace, std::uint64_t hash) {
  for (Stack* s = first; s != end; s = s->next.load(std::memory_order_acquire))
    if (is_same(*s, trace, hash)) return s;
  return nullptr;
}

Stack* make(const StackTrace& trace, std::uint64_t hash) {
  if (count.load(std::memory_order_relaxed) >= kMostStacks) return nullptr;
  void* memory = os::allocate_meta(sizeof(Stack) + trace.depth * sizeof(std::uintptr_t));
  if (memory == nullptr) return nullptr;
  auto* stack = new (memory) Stack;
  stack->hash = hash;
  stack->depth = trace.depth;
  auto* frames = reinterpret_cast<std::uintptr_t*>(stack + 1);
  std::copy(trace.frames, trace.frames + trace.depth, frames);
  stack->frames = frames;
  return stack;
}

}  // namespace

void Stack::count_allocated(const Weight& weight) {
  allocated_objects.fetch_add(weight.objects, std::memory_order_relaxed);
  allocated_bytes.fetch_add(weight.bytes, std::memory_order_relaxed);
}

void Stack::count_freed(const Weight& weight) {
  freed_objects.fetch_add(weight.objects, std::memory_order_relaxed);
  freed_bytes.fetch_add(weight.bytes, std::memory_order_relaxed);
}

Stack* intern_stack(const StackTrace& trace) {
  if (trace.depth == 0) return &no_stack;
  const std::uint64_t hash = hash_of(trace);
  std::atomic<Stack*>& bucket = stack_buckets[hash % kStackBuckets];
  // acquire, here and below: pairs with the release that published the entry
  Stack* first = bucket.load(std::memory_order_acquire);
  if (Stack* known = find(first, nullptr, trace, hash)) return known;
  Stack* made = make(trace, hash);
  if (made == nullptr) return &no_stack;
  const Stack* searched = nullptr;
  do {
    if (Stack* known = find(first, searched, trace, hash)) return known;  // somebody else was first; `made` is lost
    searched = first;
    made->next.store(first, std::memory_order_relaxed);
  } while (!bucket.compare_exchange_weak(first, made, std::memory_order_release, std::memory_order_acquire));
  count.fetch_add(1, std::memory_order_relaxed);
  return made;
}

std::size_t stack_count() { return count.load(std::memory_order_relaxed); }

}  // namespace lull::sample

/* Heaps of their own: blocks that belong together are freed together, at once and without a visit to each.
 *
 *   lull_heap* heap = lull_heap_create(0);              C++:   lull::heap heap;
 *   char* name = lull_heap_malloc(heap, 100);                  void* block = heap.allocate(100);
 *   lull_heap_destroy(heap);                                   std::pmr::vector<int> v(&heap.resource());
 *
 * Threads. A heap is like a container: calls with one heap must not overlap, but any thread may make them, so a heap
 * may be handed on. With LULL_HEAP_SHARED a lock in the heap makes overlapping calls safe, for about 15 ns more each; only
 * destroy, reset and walk still need the heap for themselves. Different heaps have nothing to do with each other.
 *
 * Any block of any heap may be freed by lull_free() (where lull is the program's malloc: free(), operator delete) by any
 * thread at any time, also while others use the heap. lull_realloc() may be used too; a block that does not fit where it
 * is moves out of its heap and is malloc's then. Blocks that are still there when their heap is destroyed or reset are
 * gone; destructors of objects in them do not run. Nobody may free a block of a heap while it is destroyed, reset or walked.
 *
 * Otherwise as lull/malloc.h: alignment, sizes, zero sizes, errno, and wrong use, which stops the program: freeing a block
 * twice (found at once, always), an address inside a block, a block of another heap, a block after its heap was destroyed or
 * reset (unless the place was handed out again), and using a destroyed heap (unless its handle was).
 *
 * fork: a child may go on with heaps that are shared, and with others that no other thread was using at that moment. */
#ifndef LULL_HEAP_H
#define LULL_HEAP_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

typedef struct lull_heap lull_heap;

enum { LULL_HEAP_SHARED = 1 };

/* `flags`: 0 or LULL_HEAP_SHARED. A heap is about 4 KiB and grows by spans of 16 KiB and more for each size in use. */
lull_heap* lull_heap_create(unsigned flags);
/* Frees all of its blocks and the heap. NULL is nothing to destroy. */
void lull_heap_destroy(lull_heap* heap);
/* Frees all of its blocks, and keeps the memory of those up to 32 KiB for the next ones. */
void lull_heap_reset(lull_heap* heap);
/* Gives spans without blocks back to malloc; bytes. Those that lull_free() empties otherwise wait for the heap's next need. */
size_t lull_heap_trim(lull_heap* heap);

void* lull_heap_malloc(lull_heap* heap, size_t size);
void* lull_heap_calloc(lull_heap* heap, size_t count, size_t size);
void* lull_heap_aligned_alloc(lull_heap* heap, size_t alignment, size_t size);
/* The block stays one of this heap. */
void* lull_heap_realloc(lull_heap* heap, void* block, size_t size);
/* Quicker than lull_free(), and makes the block's place free for the heap at once. */
void lull_heap_free(lull_heap* heap, void* block);

/* The heap that `address` belongs to, inside of blocks too; NULL when it lies in no block of a heap. Any thread may ask at any
 * time about a block that stays meanwhile. */
lull_heap* lull_heap_of(const void* address);
/* lull_heap_of(address) == heap. */
int lull_heap_owns(const lull_heap* heap, const void* address);

/* Calls visit(block, usable size, argument) for every block, in no particular order, until it returns something else than 0;
 * returns that, or 0. `visit` must not use the heap. */
typedef int lull_heap_visitor(void* block, size_t size, void* argument);
int lull_heap_walk(lull_heap* heap, lull_heap_visitor* visit, void* argument);

typedef struct lull_heap_stats {
  size_t blocks;      /* in use */
  size_t used_bytes;  /* their usable sizes */
  size_t held_bytes;  /* pages that the heap has, for blocks in use or to come */
} lull_heap_stats;
/* Counts: takes about 10 ns a span. */
lull_heap_stats lull_heap_read_stats(lull_heap* heap);

#pragma GCC visibility pop
#ifdef __cplusplus
}

#include <memory_resource>
#include <new>
#include <type_traits>
#include <utility>

#include "lull/detail/adapter.h"

namespace lull {

enum class heap_use : unsigned { one_thread_at_a_time = 0, shared = LULL_HEAP_SHARED };

// std::pmr's view of a heap, which must outlive it.
class heap_resource final : public std::pmr::memory_resource {
 public:
  explicit heap_resource(lull_heap* heap) noexcept : heap_(heap) {}
  lull_heap* heap() const noexcept { return heap_; }

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    return detail::block_or_throw(alignment <= detail::kMallocAlignment ? lull_heap_malloc(heap_, bytes)
                                                                        : lull_heap_aligned_alloc(heap_, alignment, bytes));
  }
  void do_deallocate(void* block, std::size_t, std::size_t) override { lull_heap_free(heap_, block); }
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override {
#if defined(__cpp_rtti)
    const auto* like = dynamic_cast<const heap_resource*>(&other);
    return like != nullptr && like->heap_ == heap_;
#else
    return this == &other;
#endif
  }

  lull_heap* heap_;
};

// Owns a lull_heap; functions as above, but that running out throws std::bad_alloc. Moving it leaves blocks where they are,
// but a resource() belongs to the object it came from.
class heap {
 public:
  explicit heap(heap_use use = heap_use::one_thread_at_a_time) : resource_(create(use)) {}
  heap(heap&& other) noexcept : resource_(std::exchange(other.resource_, heap_resource(nullptr))) {}
  heap& operator=(heap&& other) noexcept {
    heap moved(std::move(other));
    std::swap(resource_, moved.resource_);
    return *this;
  }
  ~heap() { lull_heap_destroy(get()); }

  lull_heap* get() const noexcept { return resource_.heap(); }  // null after it was moved from
  heap_resource& resource() noexcept { return resource_; }

  [[nodiscard]] void* allocate(std::size_t bytes) { return detail::block_or_throw(lull_heap_malloc(get(), bytes)); }
  [[nodiscard]] void* allocate(std::size_t bytes, std::align_val_t alignment) {
    return detail::block_or_throw(lull_heap_aligned_alloc(get(), static_cast<std::size_t>(alignment), bytes));
  }
  [[nodiscard]] void* allocate_zeroed(std::size_t bytes) { return detail::block_or_throw(lull_heap_calloc(get(), 1, bytes)); }
  // On failure the block stays as it is.
  [[nodiscard]] void* reallocate(void* block, std::size_t bytes) {
    void* moved = lull_heap_realloc(get(), block, bytes);
    return moved != nullptr || bytes == 0 ? moved : detail::block_or_throw(nullptr);
  }
  void free(void* block) noexcept { lull_heap_free(get(), block); }

  // An object; the end of the heap frees its memory, but only destroy() runs its destructor.
  template <class T, class... Arguments>
  [[nodiscard]] T* make(Arguments&&... arguments) {
    void* place = resource_.allocate(sizeof(T), alignof(T));
    Undo undo{get(), place};
    T* object = ::new (place) T(std::forward<Arguments>(arguments)...);
    undo.place = nullptr;
    return object;
  }
  template <class T>
  void destroy(T* object) noexcept {
    if (object == nullptr) return;
    object->~T();
    free(object);
  }

  void reset() noexcept { lull_heap_reset(get()); }
  std::size_t trim() noexcept { return lull_heap_trim(get()); }
  bool owns(const void* address) const noexcept { return lull_heap_owns(get(), address) != 0; }
  lull_heap_stats stats() const noexcept { return lull_heap_read_stats(get()); }

  // visit(void* block, std::size_t size), which returns void, or true to go on. False: it was stopped.
  template <class Visit>
  bool walk(Visit&& visit) {
    const auto call = [](void* block, std::size_t size, void* argument) -> int {
      auto& function = *static_cast<std::remove_reference_t<Visit>*>(argument);
      if constexpr (std::is_void_v<decltype(function(block, size))>) return function(block, size), 0;
      else return function(block, size) ? 0 : 1;
    };
    return lull_heap_walk(get(), call, const_cast<void*>(static_cast<const void*>(std::addressof(visit)))) == 0;
  }

 private:
  struct Undo {  // of a constructor that throws
    lull_heap* owner;
    void* place;
    ~Undo() { lull_heap_free(owner, place); }
  };

  static lull_heap* create(heap_use use) {
    lull_heap* made = lull_heap_create(static_cast<unsigned>(use));
    if (made == nullptr) detail::throw_or_abort<std::bad_alloc>();
    return made;
  }

  heap_resource resource_;
};

// An allocator over a heap, which must outlive the containers. Containers take it along when they are moved or swapped, and
// copies of a container use the same heap.
template <class T>
class heap_allocator {
 public:
  using value_type = T;
  using propagate_on_container_move_assignment = std::true_type;
  using propagate_on_container_swap = std::true_type;

  heap_allocator(lull::heap& heap) noexcept : heap_(heap.get()) {}  // NOLINT: v(heap) is what one wants to write
  explicit heap_allocator(lull_heap* heap) noexcept : heap_(heap) {}
  template <class Other>
  heap_allocator(const heap_allocator<Other>& other) noexcept : heap_(other.heap()) {}  // NOLINT: as allocators have it

  lull_heap* heap() const noexcept { return heap_; }

  [[nodiscard]] T* allocate(std::size_t count) {
    const std::size_t bytes = detail::bytes_of<T>(count);
    return static_cast<T*>(detail::block_or_throw(alignof(T) <= detail::kMallocAlignment
                                                      ? lull_heap_malloc(heap_, bytes)
                                                      : lull_heap_aligned_alloc(heap_, alignof(T), bytes)));
  }
  void deallocate(T* first, std::size_t) noexcept { lull_heap_free(heap_, first); }

  template <class Other>
  friend bool operator==(const heap_allocator& a, const heap_allocator<Other>& b) noexcept {
    return a.heap() == b.heap();
  }

 private:
  lull_heap* heap_;
};

}  // namespace lull
#endif
#endif

// lull::arena_pool<T>: objects in slabs, used again and again by one thread, with a life cycle that is checked.
//
//   lull::arena_pool<Request> requests("requests");     // one for each worker thread; T has a reset(), lull::arena for one
//   auto request = requests.get({.trace_id = id});      // a handle; any thread may let it go
//   lull::arena_pool<Request>::ref r = request.ref();   // remembers which use of the object it means: r.get() checks that
//
//            get()            handle ends           reset_batch()
//   allocated ---> bound ------------------> ready ---------------> reset pending ---> allocated
//                                                                            T::reset()
//
// What comes back is reset in batches: when `batch` objects of the owner's are ready, when get() finds nothing allocated, and in
// reset_batch(), for a timer or an idle loop. Until then references that are left in it keep what they lead to. A step that is not in the
// picture stops the process with the pool's name, in every build; so does a ref whose object went back since, and a pool that ends
// while one of its objects is bound.
//
// Slabs are managed memory that the pool holds by roots: T may have ptr members, ptrs may lead to its objects, and pool and handles live
// anywhere (thread_local, malloc memory). Objects are never freed before the pool ends; an object a ptr leads to stays even then. get(),
// reset_batch() and the end of the pool belong to the thread that made it (checked); handles and refs may go to other threads, which give
// back by one compare-and-swap. get() is some nanoseconds, or a slab of `T()`s: std::bad_alloc, and what a constructor throws. Giving back
// does not fail. T::reset() must not throw and may be called for an object that is as good as new.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "lull/detail/arena_chunk.h"
#include "lull/detail/thread_block.h"
#include "lull/make.h"
#include "lull/pool.h"
#include "lull/ptr.h"
#include "lull/root.h"

namespace lull {

enum class pooled_state : std::uint8_t { allocated, bound, ready, reset_pending };

// Whom an object works for; for logs, and handed out by its handle.
struct pool_tags {
  std::uint64_t trace_id = 0, tenant_id = 0;
};

namespace detail {

constexpr bool may_follow(pooled_state from, pooled_state to) {
  return (static_cast<unsigned>(from) + 1) % 4 == static_cast<unsigned>(to);
}

class PooledState {
 public:
  pooled_state load() const noexcept { return state_.load(std::memory_order_relaxed); }
  void advance(pooled_state to, const char* pool) noexcept {
    const pooled_state from = load();
    if (!may_follow(from, to)) [[unlikely]] stop_at_illegal_state(pool, static_cast<unsigned>(from), static_cast<unsigned>(to));
    state_.store(to, std::memory_order_relaxed);  // a list hands the object over, not its state
  }

 private:
  std::atomic<pooled_state> state_{pooled_state::allocated};
};

// A plain pointer into a slab that the pool holds anyway, written without barriers: complemented, so that no check takes it for a reference.
template <class T>
class HiddenLink {
 public:
  HiddenLink& operator=(T* p) noexcept {
    bits_ = ~reinterpret_cast<std::uintptr_t>(p);
    return *this;
  }
  operator T*() const noexcept { return reinterpret_cast<T*>(~bits_); }

 private:
  std::uintptr_t bits_ = ~std::uintptr_t{0};
};

template <class T>
struct PooledSlot {
  T object{};
  HiddenLink<PooledSlot> next;  // in one of the pool's lists
  PooledState state;
  std::atomic<std::uint32_t> uses{0};  // counted when the object goes back
  pool_tags tags;

  void trace(tracer& t) const {
    if constexpr (HasTrace<T>) t(object);
    else if constexpr (!no_pointers<T>::value) t.visit_words(&object, sizeof(object));
  }
};

}  // namespace detail

template <class T>
struct no_pointers<detail::PooledSlot<T>> : no_pointers<T> {};
template <class T>
struct droppable<detail::PooledSlot<T>> : droppable<T> {};

template <resettable T>
class arena_pool {
  using Slot = detail::PooledSlot<T>;

 public:
  // A reference for as long as its use of the object lasts; copied freely, lives anywhere.
  class ref {
   public:
    ref() noexcept = default;
    T* get() const noexcept {  // stops the process if the object has gone back since
      if (slot_->uses.load(std::memory_order_relaxed) != use_) [[unlikely]] detail::stop_at_dangling_reference(pool_->name_, &slot_->object);
      return &slot_->object;
    }
    T& operator*() const noexcept { return *get(); }
    T* operator->() const noexcept { return get(); }
    bool is_valid() const noexcept { return slot_ != nullptr && slot_->uses.load(std::memory_order_relaxed) == use_; }

   private:
    friend class arena_pool;
    ref(const arena_pool* pool, Slot* slot) noexcept : pool_(pool), slot_(slot), use_(slot->uses.load(std::memory_order_relaxed)) {}
    const arena_pool* pool_ = nullptr;
    Slot* slot_ = nullptr;
    std::uint32_t use_ = 0;
  };

  class handle {
   public:
    handle(handle&& other) noexcept : pool_(other.pool_), slot_(std::exchange(other.slot_, nullptr)) {}
    handle& operator=(handle&& other) noexcept {
      std::swap(pool_, other.pool_), std::swap(slot_, other.slot_);
      return *this;
    }
    ~handle() { release(); }

    T* get() const noexcept { return &slot_->object; }
    T& operator*() const noexcept { return *get(); }
    T* operator->() const noexcept { return get(); }
    explicit operator bool() const noexcept { return slot_ != nullptr; }
    arena_pool::ref ref() const noexcept { return {pool_, slot_}; }
    const pool_tags& tags() const noexcept { return slot_->tags; }
    void release() noexcept {  // gives it back now
      if (slot_ != nullptr) pool_->give_back(std::exchange(slot_, nullptr));
    }

   private:
    friend class arena_pool;
    handle(arena_pool* pool, Slot* slot) noexcept : pool_(pool), slot_(slot) {}
    arena_pool* pool_;
    Slot* slot_;
  };

  static constexpr std::size_t kSlabObjects = 64;

  // The name, a literal, is for reports.
  explicit arena_pool(const char* name = "arena pool", std::size_t batch = 32) noexcept : name_(name), batch_(batch) {}
  arena_pool(const arena_pool&) = delete;
  arena_pool& operator=(const arena_pool&) = delete;
  ~arena_pool() {
    if (const std::size_t count = bound()) detail::stop_at_bound_objects(name_, count);
  }

  [[gnu::always_inline]] handle get(const pool_tags& tags = {}) {
    check_owner();
    if (allocated_ == nullptr) [[unlikely]] refill();
    Slot* slot = pop(allocated_);
    slot->state.advance(pooled_state::bound, name_);
    slot->tags = tags;
    return handle(this, slot);
  }

  // Resets at most so many objects that have come back; how many it were.
  std::size_t reset_batch(std::size_t most = static_cast<std::size_t>(-1)) noexcept {
    check_owner();
    take_returned();
    std::size_t done = 0;
    for (; done < most && ready_ != nullptr; ++done) {
      Slot* slot = pop(ready_);
      slot->state.advance(pooled_state::reset_pending, name_);
      slot->object.reset();
      slot->state.advance(pooled_state::allocated, name_);
      push(allocated_, slot);
    }
    ready_count_ -= done;
    return done;
  }

  // By the owner; exact while other threads give nothing back.
  std::size_t size() const noexcept { return slabs_.size() * kSlabObjects; }
  std::size_t bound() const noexcept {
    std::size_t count = 0;
    for (const auto& slab : slabs_)
      for (const Slot& slot : slab) count += slot.state.load() == pooled_state::bound;
    return count;
  }

 private:
  static Slot* pop(Slot*& list) noexcept { return std::exchange(list, static_cast<Slot*>(list->next)); }
  static void push(Slot*& list, Slot* slot) noexcept {
    slot->next = list;
    list = slot;
  }
  void check_owner() const noexcept {
    if (owner_ != &detail::thread_block) [[unlikely]] detail::stop_at_foreign_thread(name_);
  }
  [[gnu::always_inline]] void give_back(Slot* slot) noexcept {
    slot->state.advance(pooled_state::ready, name_);
    slot->uses.store(slot->uses.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    if (owner_ != &detail::thread_block) return give_back_from_elsewhere(slot);
    push(ready_, slot);
    if (++ready_count_ >= batch_) [[unlikely]] reset_batch();
  }
  void give_back_from_elsewhere(Slot* slot) noexcept {
    Slot* top = returned_.load(std::memory_order_relaxed);
    do slot->next = top;
    // release: pairs with take_returned(); what this thread wrote is there before the object is
    while (!returned_.compare_exchange_weak(top, slot, std::memory_order_release, std::memory_order_relaxed));
  }
  // The list is taken whole, so that nobody can put an object back under it in between.
  void take_returned() noexcept {
    if (returned_.load(std::memory_order_relaxed) == nullptr) return;
    for (Slot* slot = returned_.exchange(nullptr, std::memory_order_acquire); slot != nullptr;) {
      Slot* next = slot->next;
      push(ready_, slot);
      ++ready_count_;
      slot = next;
    }
  }
  [[gnu::noinline]] void refill() {
    if (reset_batch() != 0) return;
    slabs_.reserve(slabs_.size() + 1);
    const ptr<Slot[]> slab = make_array<Slot>(kSlabObjects);
    slabs_.emplace_back(slab);
    for (std::size_t i = kSlabObjects; i-- > 0;) push(allocated_, &slab[i]);
  }

  const char* name_;
  std::size_t batch_;
  const detail::ThreadBlock* owner_ = &detail::thread_block;
  Slot* allocated_ = nullptr;    // the owner's lists
  Slot* ready_ = nullptr;
  std::size_t ready_count_ = 0;
  std::vector<root<Slot[]>> slabs_;
  alignas(64) std::atomic<Slot*> returned_{nullptr};  // everybody's
};

}  // namespace lull

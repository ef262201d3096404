// lull::pool<T>: objects that are used again, after Go's sync.Pool.
//
//   lull::pool<Buffer> buffers;                    // Buffer has a reset()
//   { auto b = buffers.get(); b->append(text); }   // reset() and back at the end of the scope
//
// get() takes the object that this thread gave back last, else one of its list, else one of another thread's, else one that
// survived a collection unused, else makes one. An object that nobody takes survives one full collection and is
// garbage after the second. So a pool is for what can be made again, not for sockets or files.
// A handle lives on a stack (it holds a ptr); it may go to another thread, and must not outlive the pool.
// Thread-safe. get() is lull::make when the pool is empty, with its errors; giving back never fails (an object may be
// dropped instead) and never collects, but for a list that grows: that may.
#pragma once

#include <concepts>
#include <functional>
#include <utility>

#include "lull/detail/pool.h"
#include "lull/make.h"
#include "lull/ptr.h"

namespace lull {

// reset() makes an object as good as new, references to other objects let go. It must not throw.
template <class T>
concept resettable = requires(T& object) { object.reset(); };

template <resettable T>
class pool {
 public:
  class handle {
   public:
    handle(handle&& other) noexcept : pool_(other.pool_), object_(other.object_) { other.object_ = nullptr; }
    handle& operator=(handle&& other) noexcept {
      if (this == &other) return *this;
      give_back();
      pool_ = other.pool_;
      object_ = std::exchange(other.object_, nullptr);
      return *this;
    }
    ~handle() { give_back(); }

    T* get() const noexcept { return object_; }
    T& operator*() const noexcept { return *object_; }
    T* operator->() const noexcept { return object_; }
    // The object leaves the pool for good.
    ptr<T> release() noexcept { return ptr<T>(std::exchange(object_, nullptr)); }

   private:
    friend class pool;
    handle(pool* from, T* object) noexcept : pool_(from), object_(object) {}
    void give_back() noexcept {
      if (object_ == nullptr) return;
      object_->reset();
      detail::give_to_pool(pool_->number_, detail::to_word(object_));
      object_ = nullptr;
    }
    pool* pool_;
    T* object_;  // on a stack, where the collector sees it
  };

  pool() requires std::default_initializable<T> : pool([] { return lull::make<T>(); }) {}
  explicit pool(std::function<ptr<T>()> make) : make_(std::move(make)), number_(detail::register_pool()) {}
  pool(const pool&) = delete;
  pool& operator=(const pool&) = delete;
  ~pool() { detail::forget_pool(number_); }

  [[gnu::always_inline]] handle get() {
    const detail::Word object = detail::take_from_pool(number_);
    return handle(this, object != 0 ? reinterpret_cast<T*>(object) : make_().get());
  }

 private:
  std::function<ptr<T>()> make_;
  std::uint32_t number_;
};

}  // namespace lull

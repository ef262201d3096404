// C++20 coroutines whose frames are managed objects: they hold references as any object does, live as long as somebody refers to them, and
// form cycles that are collected. A suspended frame is scanned when it is reached; one that a thread runs in is scanned with the
// thread's stack (docs/fibers.md, docs/design/fibers.md).
//
//   lull::task<lull::ptr<Node>> find(lull::ptr<Node> list, int key) { ... co_await next_page(); ... co_return node; }
//   lull::generator<int> numbers() { for (int i = 0;; ++i) co_yield i; }
//
// Locals and parameters of the body may be references of any form, also plain T*. What the await_suspend of an awaiter of yours
// stores into the awaiter is no local, since the frame is suspended by then: take lull::ptr there, as in any managed object.
//
// A std::coroutine_handle on a stack keeps its frame; elsewhere it does not. An event loop keeps suspended coroutines in
// lull::root<lull::coroutine_frame>, made by lull::frame_of(handle).
//
// Destructors of locals run when the body ends or its owner (task, generator) destroys it; dropped frames run none. Thread-safety: one thread
// at a time resumes or destroys a coroutine, and whatever hands it to another one synchronises. Locals are aligned to 16 bytes at most.
#pragma once

#include <version>
#if !defined(__cpp_impl_coroutine)
#error "lull/coroutine.h needs a compiler with C++20's coroutines"
#endif

#include <coroutine>
#include <cstddef>
#include <exception>
#include <iterator>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "lull/ptr.h"
#include "lull/tracer.h"

namespace lull {

// The frame of a coroutine whose promise derives from managed_promise.
class coroutine_frame {
 public:
  std::coroutine_handle<> handle() const noexcept {
    return std::coroutine_handle<>::from_address(const_cast<unsigned char*>(head_) + sizeof head_);
  }
  bool done() const noexcept { return handle().done(); }
  void resume() const { handle().resume(); }
  coroutine_frame(const coroutine_frame&) = delete;
  coroutine_frame& operator=(const coroutine_frame&) = delete;

 private:
  alignas(16) unsigned char head_[64];  // gc/mutator/coroutines.h
};

// What keeps the coroutine of a handle. Of a frame in other memory the result keeps nothing, but can be resumed all the same.
inline ptr<coroutine_frame> frame_of(std::coroutine_handle<> handle) noexcept {
  return ptr<coroutine_frame>(reinterpret_cast<coroutine_frame*>(static_cast<char*>(handle.address()) - sizeof(coroutine_frame)));
}

namespace detail {

void* allocate_frame(std::size_t bytes);         // entered; std::bad_alloc as lull::make
void retire_frame(void* frame) noexcept;         // entered; what it holds is forgotten
void enter_frame(coroutine_frame& frame) noexcept;  // the calling thread runs in it from here on
void leave_frame(coroutine_frame& frame) noexcept;  // and from here on does not
// The frame that `promise` lies in, if allocate_frame has just made it; null: the compiler has put it into its caller's.
coroutine_frame* new_frame_around(const void* promise) noexcept;
// Out of line, so that no compiler knows the life of a frame and puts it into its caller's.
[[gnu::noinline]] inline void destroy_frame(coroutine_frame& frame) { frame.handle().destroy(); }

// Around each awaiter of a managed coroutine: the frame is left before the awaiter hears of the suspension, since another thread may resume the
// coroutine from then on, and entered again as the first thing when it goes on, or is destroyed where it stands.
template <class Awaiter>
class FrameAwaiter {
 public:
  explicit FrameAwaiter(Awaiter&& inner) : inner_(static_cast<Awaiter&&>(inner)) {}
  FrameAwaiter(const FrameAwaiter&) = delete;
  FrameAwaiter& operator=(const FrameAwaiter&) = delete;
  ~FrameAwaiter() { come_back(); }

  bool await_ready() noexcept(noexcept(inner_.await_ready())) { return static_cast<bool>(inner_.await_ready()); }
  template <class Promise>
  auto await_suspend(std::coroutine_handle<Promise> handle) noexcept(noexcept(inner_.await_suspend(handle))) {
    if ((left_ = handle.promise().frame()) != nullptr) leave_frame(*left_);
    return inner_.await_suspend(handle);
  }
  decltype(auto) await_resume() noexcept(noexcept(inner_.await_resume())) {
    come_back();
    return inner_.await_resume();
  }

 private:
  void come_back() noexcept {
    if (coroutine_frame* frame = std::exchange(left_, nullptr)) enter_frame(*frame);
  }

  Awaiter inner_;
  coroutine_frame* left_ = nullptr;  // the frame that this lies in
};

template <class T>
concept HasMemberCoAwait = requires(T&& awaitable) { static_cast<T&&>(awaitable).operator co_await(); };
template <class T>
concept HasFreeCoAwait = requires(T&& awaitable) { operator co_await(static_cast<T&&>(awaitable)); };

// `Awaitable&&` of what co_await got; values that operator co_await makes are moved in, the awaitable itself outlives the expression.
template <class Awaitable>
auto in_frame(Awaitable&& awaitable) {
  if constexpr (HasMemberCoAwait<Awaitable>) {
    using Awaiter = decltype(std::forward<Awaitable>(awaitable).operator co_await());
    return FrameAwaiter<Awaiter>(std::forward<Awaitable>(awaitable).operator co_await());
  } else if constexpr (HasFreeCoAwait<Awaitable>) {
    using Awaiter = decltype(operator co_await(std::forward<Awaitable>(awaitable)));
    return FrameAwaiter<Awaiter>(operator co_await(std::forward<Awaitable>(awaitable)));
  } else {
    return FrameAwaiter<Awaitable&&>(std::forward<Awaitable>(awaitable));
  }
}

}  // namespace detail

// Base of a promise type whose frames are managed. The promise's own initial_suspend, final_suspend and yield_value return
// suspend(awaiter), or what they inherit; what the body awaits is seen to here.
class managed_promise {
 public:
  managed_promise() noexcept : frame_(detail::new_frame_around(this)) {}
  managed_promise(const managed_promise&) = delete;
  managed_promise& operator=(const managed_promise&) = delete;

  static void* operator new(std::size_t bytes) { return detail::allocate_frame(bytes); }
  static void operator delete(void* frame) noexcept { detail::retire_frame(frame); }

  template <class Awaiter>
  static detail::FrameAwaiter<Awaiter> suspend(Awaiter awaiter) {
    return detail::FrameAwaiter<Awaiter>(std::move(awaiter));
  }
  static auto initial_suspend() noexcept { return suspend(std::suspend_always{}); }
  static auto final_suspend() noexcept { return suspend(std::suspend_always{}); }
  template <class Awaitable>
  static auto await_transform(Awaitable&& awaitable) {
    return detail::in_frame(std::forward<Awaitable>(awaitable));
  }

  coroutine_frame* frame() const noexcept { return frame_; }

 private:
  coroutine_frame* frame_;  // that it lies in
};

namespace detail {

// Owns a coroutine: destroys it. On stacks and in managed objects, which trace it.
class OwnedFrame {
 public:
  OwnedFrame() = default;
  explicit OwnedFrame(std::coroutine_handle<> handle) noexcept : frame_(frame_of(handle)) {}
  OwnedFrame(OwnedFrame&& other) noexcept : frame_(other.frame_) { other.frame_ = nullptr; }
  OwnedFrame& operator=(OwnedFrame&& other) noexcept {
    frame_.swap(other.frame_);
    return *this;
  }
  ~OwnedFrame() {
    if (frame_) destroy_frame(*frame_);
  }
  coroutine_frame* get() const noexcept { return frame_.get(); }
  ptr<coroutine_frame> release() noexcept {
    const ptr<coroutine_frame> frame = frame_;
    frame_ = nullptr;
    return frame;
  }
  void trace(tracer& t) const { t(frame_); }

 private:
  ptr<coroutine_frame> frame_;
};

// How a body ended.
template <class T>
class Outcome {
 public:
  template <class U>
  void return_value(U&& value) { value_.emplace(std::forward<U>(value)); }
  void unhandled_exception() noexcept { failure_ = std::current_exception(); }
  T take() {
    if (failure_) std::rethrow_exception(failure_);
    return std::move(*value_);
  }

 private:
  std::optional<T> value_;
  std::exception_ptr failure_;
};
template <>
class Outcome<void> {
 public:
  void return_void() noexcept {}
  void unhandled_exception() noexcept { failure_ = std::current_exception(); }
  void take() {
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  std::exception_ptr failure_;
};

}  // namespace detail

// A coroutine that begins when it is awaited or resumed and yields one T. It goes on in the thread that resumes what it waits for; its awaiter
// goes on when it ends, in the same thread. Destroying it destroys the coroutine, which must not be running.
template <class T = void>
class [[nodiscard]] task {
 public:
  class promise_type : public managed_promise, public detail::Outcome<T> {
   public:
    task get_return_object() noexcept { return task(std::coroutine_handle<promise_type>::from_promise(*this)); }
    static auto final_suspend() noexcept { return managed_promise::suspend(GoOn{}); }

   private:
    friend task;
    struct GoOn {
      bool await_ready() const noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> ended) const noexcept {
        const ptr<coroutine_frame> next = ended.promise().continuation_;
        return next ? next->handle() : std::noop_coroutine();
      }
      void await_resume() const noexcept {}
    };
    ptr<coroutine_frame> continuation_;  // who awaits it
  };

  task() = default;
  task(task&&) noexcept = default;
  task& operator=(task&&) noexcept = default;

  // Until it suspends or ends. Not while something else is to resume it.
  void resume() const { frame_.get()->resume(); }
  bool done() const noexcept { return frame_.get()->done(); }
  // Once, when it is done: what it returned, or the exception that ended it.
  T result() const { return promise().take(); }
  // Nobody's from then on: it lives as long as somebody refers to it, such as what is to resume it.
  ptr<coroutine_frame> detach() noexcept { return frame_.release(); }
  coroutine_frame* frame() const noexcept { return frame_.get(); }
  void trace(tracer& t) const { frame_.trace(t); }

  auto operator co_await() const noexcept {
    struct Awaiter {
      task const* awaited;
      bool await_ready() const noexcept { return awaited->done(); }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiting) const noexcept {
        awaited->promise().continuation_ = frame_of(awaiting);
        return awaited->frame_.get()->handle();
      }
      T await_resume() const { return awaited->result(); }
    };
    return Awaiter{this};
  }

 private:
  explicit task(std::coroutine_handle<promise_type> handle) noexcept : frame_(handle) {}
  promise_type& promise() const noexcept {
    return std::coroutine_handle<promise_type>::from_address(frame_.get()->handle().address()).promise();
  }

  detail::OwnedFrame frame_;
};

// A range whose elements a coroutine yields, one at a time, each until the next is asked for. What the body throws comes out of
// begin() and ++. Destroying it destroys the coroutine where it stands.
template <class T>
class [[nodiscard]] generator {
 public:
  using value_type = std::remove_cvref_t<T>;

  class promise_type : public managed_promise {
   public:
    generator get_return_object() noexcept { return generator(std::coroutine_handle<promise_type>::from_promise(*this)); }
    auto yield_value(const value_type& value) noexcept {
      value_ = std::addressof(value);
      return managed_promise::suspend(std::suspend_always{});
    }
    void return_void() noexcept { value_ = nullptr; }
    void unhandled_exception() noexcept {
      value_ = nullptr;
      failure_ = std::current_exception();
    }

   private:
    friend generator;
    const value_type* value_ = nullptr;
    std::exception_ptr failure_;
  };

  class iterator {
   public:
    using value_type = generator::value_type;
    using difference_type = std::ptrdiff_t;

    iterator() = default;
    explicit iterator(const generator& of) : of_(&of) {}
    const value_type& operator*() const noexcept { return *of_->promise().value_; }
    iterator& operator++() {
      of_->advance();
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const noexcept { return of_->frame_.get()->done(); }

   private:
    const generator* of_ = nullptr;
  };

  generator() = default;
  generator(generator&&) noexcept = default;
  generator& operator=(generator&&) noexcept = default;

  iterator begin() {  // once
    advance();
    return iterator(*this);
  }
  std::default_sentinel_t end() const noexcept { return {}; }
  coroutine_frame* frame() const noexcept { return frame_.get(); }
  void trace(tracer& t) const { frame_.trace(t); }

 private:
  explicit generator(std::coroutine_handle<promise_type> handle) noexcept : frame_(handle) {}
  promise_type& promise() const noexcept {
    return std::coroutine_handle<promise_type>::from_address(frame_.get()->handle().address()).promise();
  }
  void advance() const {
    frame_.get()->resume();
    if (std::exception_ptr failure = std::exchange(promise().failure_, nullptr)) std::rethrow_exception(failure);
  }

  detail::OwnedFrame frame_;
};

}  // namespace lull

// lull::on_unreachable(p, callback): runs a callback after an object has gone.
//
// It runs once, on the finalizer thread or in run_finalizers(), after the object was found unreachable, weak references to
// it were emptied, its destructor (if it has one) has run, and no destructor of another object can reach it any more: it
// never brings the object back. Several callbacks of one object run in the order of their registration. Callbacks of
// objects that are reachable at exit do not run. One that throws ends the process.
//
// The callback may capture managed pointers (it is kept in a managed object that is scanned conservatively). It must not
// lead to the object itself: then neither ever goes. What it captured is destroyed by the collector some time after it ran.
// For a null pointer, or one to no managed object, it never runs.
#pragma once

#include <atomic>
#include <type_traits>
#include <utility>

#include "lull/make.h"
#include "lull/ptr.h"

namespace lull {
namespace detail {

// The head of a managed object that holds the callback.
struct Callback {
  enum class State : std::uint8_t { pending, cancelled, taken };
  void (*invoke)(Callback*) = nullptr;
  std::atomic<State> state{State::pending};
};
template <class Function>
struct CallbackOf : Callback {
  explicit CallbackOf(Function&& f) : function(std::move(f)) {
    invoke = [](Callback* self) { static_cast<CallbackOf*>(self)->function(); };
  }
  explicit CallbackOf(const Function& f) : function(f) {
    invoke = [](Callback* self) { static_cast<CallbackOf*>(self)->function(); };
  }
  Function function;
};

void register_callback(const void* object, Callback* callback);  // std::bad_alloc
bool cancel_callback(Callback& callback) noexcept;

}  // namespace detail

// What on_unreachable returns; may be dropped. Lives where a ptr may live.
class cleanup {
 public:
  cleanup() noexcept = default;
  explicit cleanup(const ptr<detail::Callback>& callback) noexcept : callback_(callback) {}
  // True: the callback will not run. False: it runs, has run, or was cancelled before.
  bool cancel() noexcept { return callback_ && detail::cancel_callback(*callback_); }
  void trace(tracer& t) const { callback_.trace(t); }

 private:
  ptr<detail::Callback> callback_;
};

// std::bad_alloc when memory is out; nothing is registered then.
template <class T, class Function>
  requires std::is_invocable_v<std::decay_t<Function>&>
cleanup on_unreachable(const ptr<T>& p, Function&& callback) {
  const ptr<detail::Callback> made = make<detail::CallbackOf<std::decay_t<Function>>>(std::forward<Function>(callback));
  detail::register_callback(const_cast<const std::remove_cv_t<std::remove_extent_t<T>>*>(p.get()), made.get());
  return cleanup(made);
}

}  // namespace lull

// A stack and a function that runs on it by turns with whoever resumes it, over the library's own jump_fcontext, without Boost.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <functional>
#include <memory>

#include "lull/fiber.h"

extern "C" {
struct Transfer {
  void* context;
  void* data;
};
Transfer jump_fcontext(void* to, void* data);
void* make_fcontext(void* sp, std::size_t size, void (*function)(Transfer));
void lull_fcontext_expect(lull_fiber* stack);
}

namespace lull::test {

class Task {
 public:
  static constexpr std::size_t kDefaultBytes = 64 * 1024;

  explicit Task(std::function<void(Task&)> function, parked_stack use = parked_stack::may_change, std::size_t bytes = kDefaultBytes)
      : function_(std::move(function)), memory_(new char[bytes]), stack_(memory_.get(), bytes, use) {
    lull_fcontext_expect(stack_.get());
    context_ = make_fcontext(memory_.get() + bytes, bytes, run);
  }
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;

  // On any thread. Returns when the task pauses or ends.
  void resume() { context_ = jump_fcontext(context_, this).context; }
  // By the task itself.
  void pause() { caller_ = jump_fcontext(caller_, nullptr).context; }
  bool ended() const { return ended_; }
  // Its stack is given up, wherever the task is.
  void drop_stack() { stack_ = {}; }

 private:
  static void run(Transfer from) {
    Task& self = *static_cast<Task*>(from.data);
    self.caller_ = from.context;
    self.function_(self);
    self.ended_ = true;
    self.pause();
    std::abort();
  }

  std::function<void(Task&)> function_;
  std::unique_ptr<char[]> memory_;
  fiber_stack stack_;
  void* context_ = nullptr;
  void* caller_ = nullptr;
  bool ended_ = false;
};

}  // namespace lull::test

// Threads. A thread attaches by itself at its first allocation, pointer store or use of a root, and detaches when it exits. Attaching
// unblocks SIGURG, with which the collector interrupts a thread that neither polls nor blocks; leave it unblocked.
#pragma once

#include "lull/detail/thread_block.h"

namespace lull {
namespace detail {
[[gnu::cold]] void answer_poll_request() noexcept;
}

// Attaches the calling thread now. Needed only by a thread whose first contact with managed objects is through raw
// pointers, which the collector cannot notice. Idempotent. May call malloc. std::bad_alloc when there is no memory for it. A thread
// that attaches by itself gets the same from a call that may throw it (lull::make above all); one that does so by a pointer
// store, or by a look at a root, stops the process then.
void attach_thread();
// Detaches before the thread exits; the thread must hold no reference. It attaches again at next use.
void detach_thread();

// Answers a pending handshake of the collector, if there is one: one load and a branch otherwise. For loops that neither
// allocate nor store pointers; without it such a thread is interrupted by a signal instead.
inline void safepoint() noexcept {
  // relaxed: only asks whether to look; answer_poll_request() acquires
  if (__atomic_load_n(&detail::thread_block.poll_requested, __ATOMIC_RELAXED) != 0) [[unlikely]] detail::answer_poll_request();
}

// While it exists the thread promises not to touch managed objects, so the collector answers handshakes for it: it is
// not signalled and delays nobody. Wrap blocking calls in it. Nests. Leaving waits while the collector is at work on
// this thread's stack (microseconds).
class [[nodiscard]] blocking_region {
 public:
  blocking_region() noexcept;
  ~blocking_region();
  blocking_region(const blocking_region&) = delete;
  blocking_region& operator=(const blocking_region&) = delete;
};

}  // namespace lull

// The central store is whole when a process forks: threads change it inside visits, and a fork waits until none is under
// way and lets none begin.
//
// Without the gate a child could not use what it finds, though every single step is atomic: the kernel copies a process
// page by page while its other threads run, and one whose processor still has the old translation of a page writes into
// the child's copy. So the child may see a thread's later store without its earlier one, on another page: a list without
// its links, a span's count without its bits.
//
//   visitor   say that it is inside; if the gate is closed, take that back and wait; ...; take it back
//   fork      close the gate; a barrier for all threads; wait until nobody is inside; take the locks; fork; open
// Of visitor and fork one sees the other (Dekker); the barrier on the fork's side makes the visitor's fence unnecessary.
// Visits nest: a thread that is inside is never kept waiting.
//
// Who visits must not wait for a fork in any other way: not for bins_lock(), which the forking thread has while it waits for
// visitors; nor start a thread, which takes locks of libc under which others call free() and so stand at the gate. A visit
// has a rank among the locks, so that debug builds find both.
#pragma once

#include <atomic>
#include <cstdint>

#include "alloc/os/lock.h"

namespace lull::front {

struct ThreadBins;

class Visiting {
 public:
  explicit Visiting(ThreadBins* own) : own_(own) {  // null: of a thread without bins
    if (depth_++ == 0) enter();
  }
  ~Visiting() {
    if (--depth_ != 0) return;
    leave();
    os::forget_rank(os::LockRank::visit);
  }
  Visiting(const Visiting&) = delete;
  Visiting& operator=(const Visiting&) = delete;

  static void close_gate();  // returns when nobody else is inside; the caller counts as inside. With bins_lock(), as the next
  [[nodiscard]] static bool try_close_gate(std::uint64_t most_ns);  // false, and it is open: somebody was inside all the time
  static void open_gate();
  static void forget_other_visitors();  // in a forked child

 private:
  void enter();
  void leave();
  static void begin_to_close();
  static bool is_anybody_inside();  // but the caller; the gate is closed

  ThreadBins* own_;
  static __thread std::uint32_t depth_ __attribute__((tls_model("initial-exec")));
  static __thread bool counted_ __attribute__((tls_model("initial-exec")));  // in the number of visitors without bins
};

// fork() finds malloc whole, its locks, its central store, and the page heap below, also for the collector; what other
// threads cached is lost to the child. Called when the program starts, or by who allocates before that: handlers that are registered first
// run last before a fork and first after it, so that everybody else's may allocate.
void install_fork_handlers();
bool fork_handlers_are_installed();

}  // namespace lull::front

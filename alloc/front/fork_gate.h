// The central store is whole when a process forks: threads change it inside visits, and a fork waits until none is under
// way and lets none begin.
//
// Without the gate a child could not use what it finds, though every single step is atomic: the kernel copies a process
// page by page while its other threads run, and one whose processor still has the old translation of a page writes into
// the child's copy. So the child may see a thread's later store without its earlier one, on another page: a list without
// its links, a span's count without its bits.
//
//   visitor   add 1 to a counter; if the gate is closed, take it back and wait; ...; take it back
//   fork      close the gate; wait until all counters are 0; take the locks; fork; open
// Counter and gate are accessed sequentially consistent: one of the two sees the other (Dekker). Each thread has one of a
// few counters, so that visitors seldom share a cache line. Visits nest: a thread that is inside is never kept waiting.
#pragma once

#include <atomic>
#include <cstdint>

namespace lull::front {

class Visiting {
 public:
  Visiting() {
    if (depth_++ == 0) enter();
  }
  ~Visiting() {
    // release: what the visit wrote is there when the fork finds 0 (wait_for_visitors)
    if (--depth_ == 0) counter_->fetch_sub(1, std::memory_order_release);
  }
  Visiting(const Visiting&) = delete;
  Visiting& operator=(const Visiting&) = delete;

  static void close_gate();  // returns when nobody else is inside; the caller counts as inside
  static void open_gate();

 private:
  static void enter();

  static __thread std::uint32_t depth_ __attribute__((tls_model("initial-exec")));
  static __thread std::atomic<std::uint32_t>* counter_ __attribute__((tls_model("initial-exec")));
};

// fork() finds malloc whole, its locks, its central store, and the page heap below, also for the collector; the child has
// what other threads cached, but for the list each was using. Called at the first use: handlers that are registered first
// run last before a fork and first after it, so that everybody else's may allocate.
void install_fork_handlers();

}  // namespace lull::front

// Helper markers beside the driver: a quarter of the processors in all, the driver counted, at least one.
#pragma once

#include <atomic>
#include <cstdint>

namespace lull::gc {

class Crew {
 public:
  void begin();  // driver: helpers take work from the pool from now on
  void end();    // driver: waits until every helper has handed over what it had
  bool is_idle() const { return busy_.load(std::memory_order_seq_cst) == 0; }
  unsigned workers() const;  // the driver and its helpers
  // No cycle runs, yet one may have counted itself just now, to find that: nobody would take that back.
  void forget_threads_after_fork() {
    started_ = 0;
    busy_.store(0, std::memory_order_relaxed);
  }
  // Before the first cycle: as many as a machine with more processors would have.
  void set_workers_for_testing(unsigned workers) { workers_ = workers; }
  std::uint64_t helper_ns() const { return helper_ns_.load(std::memory_order_relaxed); }

 private:
  static void* helper_main(void* self);
  void help();
  void mark_until_dry();
  void start_helpers();

  std::atomic<std::uint32_t> marking_{0};  // 1 between begin and end; futex word
  std::atomic<std::uint32_t> busy_{0};     // helpers that may hold grey objects
  std::atomic<std::uint64_t> helper_ns_{0};
  unsigned started_ = 0;                   // driver
  unsigned workers_ = 0;                   // 0: by the number of processors
};

extern Crew crew;

}  // namespace lull::gc

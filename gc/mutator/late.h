// Tells of threads that keep the collector waiting: the heap grows meanwhile, and nobody sees why. One line a thread on standard
// error after options.late milliseconds, and again each time the wait has doubled.
#pragma once

#include <cstdint>

namespace lull::gc {

enum class HandshakeOp : std::uint32_t;

class LateThreads {
 public:
  LateThreads(HandshakeOp op, std::uint64_t since_ns) : op_(op), since_ns_(since_ns) {}
  // By the driver, which holds mutators.lock.
  void tell_if_due(std::uint64_t now_ns);

 private:
  HandshakeOp op_;
  std::uint64_t since_ns_;
  std::uint64_t told_after_ns_ = 0;
};

}  // namespace lull::gc

// A stretch of collector code that a mutator runs: refuses the handshake signal, and polls when it ends (rule 5: never
// between a slot's store and the end of both shades). With precise roots it does not poll: what the thread has in its
// variables is no root, so the calls that are safepoints poll by themselves, where they hold nothing.
#pragma once

#include "gc/mutator/mutator.h"

namespace lull::gc {

void answer_poll(Mutator& m);  // a handshake is pending: performs it with the registers on the stack

inline void poll(Mutator& m) {
  // acquire: pairs with the store in request_and_wait_locked of handshake.cc
  if (m.pending.load(std::memory_order_acquire) != HandshakeOp::none) [[unlikely]] answer_poll(m);
}

class [[nodiscard]] RuntimeSection {
 public:
  explicit RuntimeSection(Mutator& m) : m_(m) {
    m_.runtime_depth = m_.runtime_depth + 1;
    asm volatile("" ::: "memory");  // the handler runs on this thread: program order is all it takes
  }
  [[gnu::always_inline]] ~RuntimeSection() {
    asm volatile("" ::: "memory");
    m_.runtime_depth = m_.runtime_depth - 1;
    asm volatile("" ::: "memory");
    if (m_.runtime_depth == 0 && options.precise_roots == 0) poll(m_);
  }
  RuntimeSection(const RuntimeSection&) = delete;
  RuntimeSection& operator=(const RuntimeSection&) = delete;

 private:
  Mutator& m_;
};

}  // namespace lull::gc

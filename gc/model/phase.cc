#include "gc/model/phase.h"
#include "gc/model/delay.h"

#include "alloc/base/check.h"
#include "lull/detail/barrier.h"

namespace lull::detail {

constinit std::uint8_t stacks_are_black = 0;

}  // namespace lull::detail

namespace lull::gc {

constinit std::atomic<MarkState> mark_state{MarkState::off};
constinit std::atomic<std::uint32_t> current_cycle{0};
constinit std::atomic<std::uint32_t> mark_epoch{0};
constinit std::atomic<std::uint32_t> sweep_generation{0};
constinit std::atomic<std::uint32_t> full_generation{0};
constinit std::atomic<bool> sweep_open{true};
constinit std::atomic<bool> cycle_must_abort{false};
constinit std::atomic<bool> stack_scan_asked{false};

namespace {

constexpr bool is_legal(MarkState from, MarkState to) {
  switch (to) {
    case MarkState::off: return true;  // the end, or an abort
    case MarkState::snapshot: return from == MarkState::off;
    case MarkState::marking: return from != MarkState::off && from != MarkState::done;
    case MarkState::terminating: return from == MarkState::marking;
    case MarkState::done: return false;  // finish_if_quiet() only
  }
  return false;
}

}  // namespace

void set_mark_state(MarkState next) {
  LULL_CHECK(is_legal(mark_state.load(std::memory_order_relaxed), next), "collector: illegal change of phase");
  if (next == MarkState::snapshot) stack_scan_asked.store(false, std::memory_order_seq_cst);
  mark_state.store(next, std::memory_order_seq_cst);
  // Relaxed: handshake 1 orders `false` before every thread's flag, the answers to handshake 2 order `true` behind them.
  if (next == MarkState::snapshot || next == MarkState::marking)
    __atomic_store_n(&detail::stacks_are_black, std::uint8_t{next == MarkState::marking}, __ATOMIC_RELAXED);
}

bool cancel_termination() {
  MarkState expected = MarkState::terminating;
  return mark_state.compare_exchange_strong(expected, MarkState::marking, std::memory_order_seq_cst) ||
         expected != MarkState::done;
}

bool finish_if_quiet() {
  delay_point();
  MarkState expected = MarkState::terminating;
  return mark_state.compare_exchange_strong(expected, MarkState::done, std::memory_order_seq_cst);
}

}  // namespace lull::gc

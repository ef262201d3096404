#include "gc/mutator/late.h"

#include <csignal>

#include "alloc/base/check.h"
#include "alloc/os/thread_state.h"
#include "gc/model/options.h"
#include "gc/mutator/handshake.h"

namespace lull::gc {
namespace {

constexpr std::uint64_t kNsPerMs = 1'000'000;

const char* name_of(HandshakeOp op) {
  switch (op) {
    case HandshakeOp::barriers_on: return "barriers on";
    case HandshakeOp::scan_stack: return "scan your stack";
    case HandshakeOp::flush: return "flush";
    case HandshakeOp::barriers_off: return "barriers off";
    case HandshakeOp::park: return "park";
    case HandshakeOp::none: break;
  }
  return "?";
}

const char* reason(const os::ThreadStatus& status, bool in_runtime_section) {
  if (status.state == 'T' || status.state == 't') return "it is stopped by a debugger or by job control";
  if (status.state == 'D') return "it is in a system call that cannot be interrupted; a lull::blocking_region around it would help";
  if (in_runtime_section) return "it is inside the collector's own code";
  if (options.noasync != 0) return "signals are off (noasync) and it does not poll: call lull::safepoint() in its loops";
  if (status.blocked_signals >> (SIGURG - 1) & 1)
    return "it has blocked SIGURG and does not poll: unblock it, or call lull::safepoint() in its loops, or use a lull::blocking_region";
  return "it gets no processor time, or somebody else handles SIGURG";
}

// Its depth is read beside the thread, for a message only.
[[gnu::no_sanitize_thread]] bool in_runtime_section(const Mutator& m) { return m.runtime_depth != 0; }

void tell(const Mutator& m, HandshakeOp op, std::uint64_t waited_ns) {
  const os::ThreadStatus status = os::status_of_thread(m.tid);
  say("thread %d (%s) has kept the collector waiting for %llu ms (%s): %s", m.tid, status.name, static_cast<unsigned long long>(waited_ns / kNsPerMs),
      name_of(op), reason(status, in_runtime_section(m)));
  handshake_stats.told_late.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

void LateThreads::tell_if_due(std::uint64_t now_ns) {
  const std::uint64_t first = static_cast<std::uint64_t>(options.late) * kNsPerMs, waited = now_ns - since_ns_;
  if (options.late <= 0 || now_ns < since_ns_ || waited < first || waited < 2 * told_after_ns_) return;
  told_after_ns_ = waited;
  for (const Mutator* m = mutators.first; m != nullptr; m = m->next)
    if (m->pending.load(std::memory_order_relaxed) != HandshakeOp::none) tell(*m, op_, waited);
}

}  // namespace lull::gc

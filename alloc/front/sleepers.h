// Threads that sleep give what they cache back. The purger does it for them, and malloc and free pay no instruction for that.
//
// Bins are used without an atomic operation, so nobody can lock a thread out of its own. The purger takes three steps instead:
//
//   ask     points the thread's `thread_bins` at `asleep_bins`, which are empty and have no room, and runs a barrier for all
//           threads. What the thread begins from now on reaches the slow path, which takes the bins back before it uses them.
//   prove   that what the thread began before is over. It is in no visit (fork_gate.h). The kernel says that it waits in a
//           system call; the fast paths make none. It could still be a signal handler that waits, and has interrupted a fast
//           path: such a path has the address of its bins in a register from its first access to its last, so the stack
//           has a word that points into them, and a word with the code segment, which the kernel saves with the registers.
//           One of them is missing. And since its processor time is the same after the search, the thread has slept
//           all along. Last, `thread_bins` is still what the purger made it: a thread that had just taken its bins back may have
//           written it later than the purger.
//   empty   what the bins hold goes to the central store.
//
// `sleep` says whose the bins are:
//
//            purger             thread, in its slow path
//   awake ----------> asleep ------------------------------> awake
//                      |  ^
//                purger|  |purger       busy: the purger looks at them or empties them; the thread waits
//                      v  |
//                      busy              ended: nobody's; busy is waited for
//
// Of a visit that begins and a purger that asks, one sees the other, as with the gate of fork_gate.h.
// A thread that ends and tells nobody (it used its first block when the last round of key destructors had begun) is found gone by its number, and its
// bins given back, before its variable is written to.
// A thread of which nothing can be proved keeps what it has: the main thread, whose stack does not end at its
// thread-local variables, one that sleeps deep in its stack, and every thread where /proc cannot be read or under
// ThreadSanitizer, which knows nothing of such proofs.
// The protocol is explored exhaustively by tests/model/sleepers.h, each proof left out in turn: a change starts there.
#pragma once

#include <atomic>
#include <cstdint>

namespace lull::front {

struct ThreadBins;

enum class Sleep : std::uint32_t { ended, awake, asleep, busy, awaited };  // awaited: busy, and the thread waits

// What ThreadBins holds for the purger.
struct Sleeper {
  std::atomic<Sleep> state{Sleep::ended};
  int tid = 0;                        // written by the thread before it is awake; in a forked child by the child
  ThreadBins** variable = nullptr;    // its `thread_bins`; so is this
  std::uint64_t last_look = 0;        // of the purger, and those below: a digest of the bins
  std::uint8_t tries = 0;             // proofs that failed since the bins were asked for
  bool emptied = false;               // since they were asked for
};

// The calling thread announces its bins; takes them back when the purger has asked for them; gives them up for ever.
void begin_sleeper(ThreadBins& own);
ThreadBins* wake_own_bins(ThreadBins& own);
void end_sleeper(ThreadBins& own);
bool may_become_sleeper(const ThreadBins& own);  // announced, and not the main thread's

// One round, once a second: empties the bins of threads that have not used them since the last round; with `at_once` of
// all threads that sleep. True: another round may find more.
enum class When { when_idle, at_once };
bool empty_sleepers(When when);

// In a forked child, whose one thread has the bins `own`, or none: the others are gone.
void reset_sleepers_after_fork(ThreadBins* own);

}  // namespace lull::front

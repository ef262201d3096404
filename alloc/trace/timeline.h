// What the library's threads were doing when: spans of time, recorded while somebody wants a timeline (lull/timeline.h).
//
// Every thread writes to a ring of its own; nobody waits for anybody. An entry carries a sequence number that is set last, so
// that a reader tells whole entries from those that are being overwritten. Recording is async-signal-safe, also inside itself: an
// entry is claimed by one atomic addition. Rings are never freed; that of a thread that ends goes to the next one that starts,
// with what is in it, since entries name their thread. In a forked child that of a lost thread does, without.
//
// Off, a place that records costs a relaxed load and a branch, and none lies on a fast path.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "alloc/os/clock.h"

namespace lull::trace {

enum class What : std::uint8_t {
  cycle,          // argument: 1 young; on the driver
  step,           // argument: number of the Step that ended it; on the driver
  handshake,      // argument: the operation; from the request to the last answer, on the driver
  answer,         // argument: the operation, + kAsync or kOnBehalf; the thread's part of it
  world_stopped,  // argument: 0 until everybody has stopped, 1 while the world stands still
  assist,         // argument: bytes scanned
  nap,            // a thread that outran the markers
  mark,           // argument: bytes scanned; a helper
  sweep,          // argument: spans swept by a thread that needs one
  purge,          // argument: bytes given back to the system
  destructor,     // argument: 1 a callback
  wait,           // a thread waits for a cycle
  heap,           // argument: bytes of live heap; no duration
  goal,           // argument: bytes; no duration
  thread_name,    // argument and duration: the first 16 characters
};
inline constexpr std::uint64_t kAsync = 0x100, kOnBehalf = 0x200;

extern std::atomic<bool> recording;
inline bool is_on() { return recording.load(std::memory_order_relaxed); }

void record_slow(What what, std::uint64_t start_ns, std::uint64_t duration_ns, std::uint64_t argument);
inline void record(What what, std::uint64_t start_ns, std::uint64_t end_ns, std::uint64_t argument) {
  if (is_on()) [[unlikely]] record_slow(what, start_ns, end_ns - start_ns, argument);
}

// A span from its construction to its end. Reads no clock while nobody records.
class Span {
 public:
  explicit Span(What what, std::uint64_t argument = 0) : what_(what), argument_(argument) {
    if (is_on()) [[unlikely]] start_ = os::monotonic_ns();
  }
  ~Span() {
    if (start_ != 0 && !dropped_) record(what_, start_, os::monotonic_ns(), argument_);
  }
  Span(const Span&) = delete;
  Span& operator=(const Span&) = delete;
  void set_argument(std::uint64_t argument) { argument_ = argument; }
  void drop() { dropped_ = true; }  // nothing happened

 private:
  What what_;
  bool dropped_ = false;
  std::uint64_t argument_, start_ = 0;
};

// Starts anew: what rings hold is forgotten; rings made from now on have room for `entries_per_thread` (a power of two is made of
// it). Nobody else starts or stops meanwhile.
void start(std::size_t entries_per_thread);
void stop();
std::uint32_t session();  // another one after each start()
// The calling thread ends: its ring is for others.
void release_ring();
// In the child: its thread has another number, attached or not. The rings of the others are for new threads, and nothing of what is in them is
// shown: their threads may have been in the midst of an entry, of which a page may be new and the next one old.
void forget_threads_after_fork();

struct Entry {
  std::uint64_t start_ns = 0, duration_ns = 0, argument = 0;
  What what = What::thread_name;
  std::uint32_t thread = 0;
};
struct Counts {
  std::uint64_t entries = 0;
  std::uint64_t lost = 0;  // overwritten, or without memory for a ring
};
// Calls visit for each entry since start(), ring by ring. Threads may record meanwhile.
Counts for_each_entry(void (*visit)(void* context, const Entry& entry), void* context);

}  // namespace lull::trace

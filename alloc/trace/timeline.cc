#include "alloc/trace/timeline.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <sys/prctl.h>

#include "alloc/os/thread.h"
#include "alloc/os/vm.h"

namespace lull::trace {

constinit std::atomic<bool> recording{false};

namespace {

// All fields are atomic, so that a reader of an entry that is being overwritten reads something; `number` tells it.
struct Cell {
  std::atomic<std::uint64_t> number{0};  // of the entry, from 1; 0: being written
  std::atomic<std::uint64_t> start_ns{0}, duration_ns{0}, argument{0}, who{0};  // who: thread, what
};

constexpr std::uint32_t kNoSession = 0;

struct Ring {
  Ring* next = nullptr;                    // constant once linked
  std::uint64_t mask = 0;                  // constant; entries - 1
  std::atomic<std::uint64_t> claimed{0};   // entries ever claimed
  std::atomic<std::uint64_t> first{0};     // of the current recording
  std::atomic<std::uint32_t> session{kNoSession};  // of the newest entry
  std::atomic<bool> owned{true};

  Cell* cells() { return reinterpret_cast<Cell*>(this + 1); }
};

constinit std::atomic<Ring*> rings{nullptr};
constinit std::atomic<std::uint64_t> entries_wanted{1 << 14}, without_ring{0};
constinit std::atomic<std::uint32_t> sessions{kNoSession};
__thread Ring* own_ring __attribute__((tls_model("initial-exec"))) = nullptr;
__thread int own_thread __attribute__((tls_model("initial-exec"))) = 0;

Ring* take_idle_ring() {
  for (Ring* ring = rings.load(std::memory_order_acquire); ring != nullptr; ring = ring->next) {
    bool owned = false;
    // acquire: pairs with the release in release_ring
    if (!ring->owned.load(std::memory_order_relaxed) && ring->owned.compare_exchange_strong(owned, true, std::memory_order_acquire)) return ring;
  }
  return nullptr;
}

Ring* make_ring() {
  const std::uint64_t entries = entries_wanted.load(std::memory_order_relaxed);
  const std::size_t bytes = (sizeof(Ring) + entries * sizeof(Cell) + 4095) / 4096 * 4096;
  void* memory = os::map(bytes);
  if (memory == nullptr) return nullptr;
  auto* ring = new (memory) Ring;  // the cells are zero, as they have to be
  ring->mask = entries - 1;
  Ring* head = rings.load(std::memory_order_relaxed);
  do ring->next = head;
  // release: pairs with the acquire loads of `rings`
  while (!rings.compare_exchange_weak(head, ring, std::memory_order_release, std::memory_order_relaxed));
  return ring;
}

void write(Ring& ring, What what, std::uint64_t start_ns, std::uint64_t duration_ns, std::uint64_t argument) {
  const std::uint64_t number = ring.claimed.fetch_add(1, std::memory_order_relaxed) + 1;
  Cell& cell = ring.cells()[number & ring.mask];
  cell.number.store(0, std::memory_order_relaxed);
  // release: the fields that follow are not written before the 0 is; pairs with the acquire loads in read()
  cell.start_ns.store(start_ns, std::memory_order_release);
  cell.duration_ns.store(duration_ns, std::memory_order_release);
  cell.argument.store(argument, std::memory_order_release);
  cell.who.store(std::uint64_t{static_cast<std::uint32_t>(own_thread)} << 8 | static_cast<std::uint64_t>(what), std::memory_order_release);
  cell.number.store(number, std::memory_order_release);  // release: pairs with the first acquire in read()
}

void write_name(Ring& ring) {
  char name[16] = {};
  ::prctl(PR_GET_NAME, name);
  std::uint64_t words[2];
  std::memcpy(words, name, sizeof words);
  write(ring, What::thread_name, 0, words[1], words[0]);
}

Ring* ring_of_this_thread() {
  if (own_ring == nullptr) {
    if (own_thread == 0) own_thread = os::current_thread_id();
    own_ring = take_idle_ring();
    if (own_ring == nullptr) own_ring = make_ring();
    if (own_ring != nullptr) write_name(*own_ring);
  }
  return own_ring;
}

// The first entry of a recording in this ring says who writes it.
void join_session(Ring& ring) {
  const std::uint32_t now = sessions.load(std::memory_order_relaxed);
  if (ring.session.load(std::memory_order_relaxed) == now) return;
  ring.session.store(now, std::memory_order_relaxed);
  ring.first.store(ring.claimed.load(std::memory_order_relaxed), std::memory_order_relaxed);
  write_name(ring);
}

// False: it is being overwritten, or has been.
bool read(Cell& cell, std::uint64_t number, Entry& out) {
  if (cell.number.load(std::memory_order_acquire) != number) return false;
  out.start_ns = cell.start_ns.load(std::memory_order_acquire);
  out.duration_ns = cell.duration_ns.load(std::memory_order_acquire);
  out.argument = cell.argument.load(std::memory_order_acquire);
  const std::uint64_t who = cell.who.load(std::memory_order_acquire);
  out.what = static_cast<What>(who & 0xff);
  out.thread = static_cast<std::uint32_t>(who >> 8);
  return cell.number.load(std::memory_order_acquire) == number;
}

}  // namespace

// errno stays: a signal handler records.
void record_slow(What what, std::uint64_t start_ns, std::uint64_t duration_ns, std::uint64_t argument) {
  Ring* ring = ring_of_this_thread();
  if (ring == nullptr) {
    without_ring.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  join_session(*ring);
  write(*ring, what, start_ns, duration_ns, argument);
}

void start(std::size_t entries_per_thread) {
  constexpr std::size_t kFewest = 64, kMost = 1 << 24;  // 640 MiB a thread
  entries_wanted.store(std::bit_ceil(std::clamp(entries_per_thread, kFewest, kMost)), std::memory_order_relaxed);
  without_ring.store(0, std::memory_order_relaxed);
  sessions.fetch_add(1, std::memory_order_relaxed);
  recording.store(true, std::memory_order_relaxed);
}

void stop() { recording.store(false, std::memory_order_relaxed); }
std::uint32_t session() { return sessions.load(std::memory_order_relaxed); }

void release_ring() {
  if (own_ring == nullptr) return;
  own_ring->owned.store(false, std::memory_order_release);  // release: pairs with take_idle_ring
  own_ring = nullptr;
}

void forget_threads_after_fork() {
  own_thread = os::current_thread_id();
  for (Ring* ring = rings.load(std::memory_order_relaxed); ring != nullptr; ring = ring->next) {
    if (ring == own_ring || !ring->owned.load(std::memory_order_relaxed)) continue;
    ring->session.store(kNoSession, std::memory_order_relaxed);
    ring->owned.store(false, std::memory_order_relaxed);
  }
}

Counts for_each_entry(void (*visit)(void* context, const Entry& entry), void* context) {
  Counts counts;
  counts.lost = without_ring.load(std::memory_order_relaxed);
  const std::uint32_t session = sessions.load(std::memory_order_relaxed);
  for (Ring* ring = rings.load(std::memory_order_acquire); ring != nullptr; ring = ring->next) {
    if (ring->session.load(std::memory_order_relaxed) != session) continue;
    const std::uint64_t end = ring->claimed.load(std::memory_order_acquire), begin = ring->first.load(std::memory_order_relaxed);
    const std::uint64_t oldest = end > ring->mask + 1 ? end - ring->mask - 1 : 0;
    for (std::uint64_t number = (oldest > begin ? oldest : begin) + 1; number <= end; ++number) {
      Entry entry;
      if (read(ring->cells()[number & ring->mask], number, entry)) {
        visit(context, entry);
        ++counts.entries;
      } else {
        ++counts.lost;
      }
    }
    if (oldest > begin) counts.lost += oldest - begin;
  }
  return counts;
}

}  // namespace lull::trace

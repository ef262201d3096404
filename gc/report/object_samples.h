// Sampled managed objects and where they came from.
//
// A *record* is a sampled object that no cycle has found dead; a *site* is a stack and a type, with sums over its samples. Records lie in
// two lists: young ones, which every cycle looks at, and old ones, which only full cycles do. Whether an object is dead is asked when
// all marking is done and nothing is swept: it is a candidate and white (gc/model/colour.h), which is just what the sweeper frees.
// So nothing that frees an object has to know of samples.
//
//   handed out, sampled -> young --candidate, marked--> old --candidate, white--> free
//                            +------candidate, white-----------------------------^
//
// Sites are never removed and are read without a lock; everything else is under one.
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>

#include "alloc/sample/stack_table.h"
#include "gc/model/kinds.h"

namespace lull::gc {

// What was allocated between an object's birth and its death, at most: 2^20 bytes and less, then factors of four.
inline constexpr unsigned kLifetimes = 8;
inline constexpr unsigned kSmallestLifetimeBits = 20;
constexpr unsigned lifetime_bucket(std::uint64_t bytes) {
  const unsigned bits = bytes <= 1 ? 0 : static_cast<unsigned>(std::bit_width(bytes - 1));  // smallest power of two >= bytes
  if (bits <= kSmallestLifetimeBits) return 0;
  const unsigned bucket = (bits - kSmallestLifetimeBits + 1) / 2;
  return bucket < kLifetimes ? bucket : kLifetimes - 1;
}
// Cycles that looked at it and found it alive: 0, 1, 2 to 3, more.
inline constexpr unsigned kSurvivals = 4;
constexpr unsigned survival_bucket(std::uint32_t cycles) { return cycles < 2 ? cycles : cycles < 4 ? 2 : 3; }

struct Site {
  using Counter = std::atomic<std::uint64_t>;  // written under the lock
  std::atomic<Site*> next{nullptr};  // all of them; constant once published
  Site* same_bucket = nullptr;       // lock
  const sample::Stack* stack = nullptr;
  const Kind* kind = nullptr;
  Counter allocated_objects{0}, allocated_bytes{0}, freed_objects{0}, freed_bytes{0};  // objects times 2^kObjectShift
  Counter samples{0}, died{0};  // as they are, not scaled up
  Counter died_young{0};        // found dead by the first cycle that looked at them
  Counter survivors{0};         // found alive by it
  Counter longest_life{0};      // bytes, of those that died
  struct Deaths {
    Counter objects{0}, bytes{0};
  } deaths[kLifetimes][kSurvivals];
};

extern std::atomic<Site*> newest_site;

// Calls visit(site) for each; others may be added meanwhile.
template <class Visit>
void for_each_site(Visit&& visit) {
  // acquire: pairs with the release in make_site_locked()
  for (const Site* s = newest_site.load(std::memory_order_acquire); s != nullptr; s = s->next.load(std::memory_order_relaxed)) visit(*s);
}

std::size_t object_sampling_mean();  // 0: off
std::uint32_t object_sampling_round();  // another one after each start; 0: off

}  // namespace lull::gc

#include "gc/model/ephemerons.h"

#include <algorithm>

#include "alloc/os/vm.h"
#include "lull/detail/ephemeron.h"

namespace lull::gc {

constinit GreyPool deferred_ephemerons;
constinit WaitingEphemerons waiting_ephemerons;

namespace {
constexpr std::uint32_t kFirstRoom = 256;      // entries a stripe
constexpr std::uint32_t kKeptRoom = 16 * 1024;  // larger ones go back to the system when the cycle is over
}  // namespace

void WaitingEphemerons::Stripe::link(std::uint32_t index) {
  std::uint32_t& bucket = buckets[bucket_of(waiting[index].key, room)];
  waiting[index].next = bucket;
  bucket = index + 1;
}

bool WaitingEphemerons::Stripe::grow() {
  const std::uint32_t more = room == 0 ? kFirstRoom : room * 2;
  auto* entries = static_cast<Waiting*>(os::map(more * sizeof(Waiting)));
  auto* heads = static_cast<std::uint32_t*>(os::map(more * sizeof(std::uint32_t)));
  if (entries == nullptr || heads == nullptr) {
    if (entries != nullptr) os::unmap(entries, more * sizeof(Waiting));
    if (heads != nullptr) os::unmap(heads, more * sizeof(std::uint32_t));
    return false;
  }
  const std::uint32_t have = count;
  std::copy(waiting, waiting + have, entries);
  if (waiting != nullptr) {
    os::unmap(waiting, room * sizeof(Waiting));
    os::unmap(buckets, room * sizeof(std::uint32_t));
  }
  waiting = entries;
  buckets = heads;
  room = more;
  for (count = 0; count < have; ++count)
    if (waiting[count].cell != 0) link(count);
  return true;
}

void WaitingEphemerons::Stripe::reset() {
  count = 0;
  if (room <= kKeptRoom) return std::fill(buckets, buckets + room, 0u);
  os::unmap(waiting, room * sizeof(Waiting));
  os::unmap(buckets, room * sizeof(std::uint32_t));
  waiting = nullptr;
  buckets = nullptr;
  room = 0;
}

bool WaitingEphemerons::add(std::uintptr_t cell, const ObjectRef& key, std::uint32_t cycle) {
  kind_of(*key.span).awaited_cycle.store(cycle, std::memory_order_seq_cst);
  Stripe& stripe = stripe_of(key.address());
  os::Locked locked(stripe.lock);
  if (stripe.count == stripe.room && !stripe.grow()) return false;
  stripe.waiting[stripe.count] = {key.address(), cell, 0};
  stripe.link(stripe.count++);
  return true;
}

void WaitingEphemerons::empty_all() {
  for (Stripe& stripe : stripes_) {
    os::Locked locked(stripe.lock);
    if (stripe.count == 0) continue;
    for (const Waiting* w = stripe.waiting; w != stripe.waiting + stripe.count; ++w) {
      if (w->cell == 0) continue;
      auto* cell = reinterpret_cast<detail::EphemeronCell*>(w->cell);
      // release: pairs with the acquire in load_key. No barrier: nobody can have read the value without the key.
      __atomic_store_n(&cell->key, detail::Word{0}, __ATOMIC_RELEASE);
      __atomic_store_n(&cell->value, detail::Word{0}, __ATOMIC_RELEASE);
    }
    stripe.reset();
  }
}

void WaitingEphemerons::forget_all() {
  for (Stripe& stripe : stripes_) {
    os::Locked locked(stripe.lock);
    if (stripe.count != 0) stripe.reset();
  }
}

}  // namespace lull::gc

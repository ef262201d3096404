// What markers do with ephemerons; states and why it is linear: gc/model/ephemerons.h.
#include "gc/mark/marker.h"
#include "gc/model/ephemerons.h"
#include "lull/detail/ephemeron.h"

namespace lull::gc {

// From trace() of a cell that is marked.
void Marker::meet_ephemeron(tracer& t, const std::uintptr_t* key, const std::uintptr_t* value) {
  auto& self = static_cast<Marker&>(t);
  if (self.slots_seen_ != nullptr) {  // checking mode: which words the cell knows about
    self.note_slot(key);
    return self.note_slot(value);
  }
  // acquire: pairs with the release of the store of the key
  const std::uintptr_t word = __atomic_load_n(key, __ATOMIC_ACQUIRE);
  if (word == 0) return;
  if (!self.is_white(resolve(word))) return self.visit(value);
  if (self.defer(reinterpret_cast<std::uintptr_t>(key))) return;
  self.visit(key);  // no memory to remember it: strong, until the next cycle
  self.visit(value);
}

bool Marker::is_white(const ObjectRef& o) const { return o && is_candidate(o, cycle_) && !is_marked(o, epoch_); }

bool Marker::defer(std::uintptr_t cell) {
  if (deferred_ != nullptr && deferred_->full()) hand_over_deferred();
  if (deferred_ == nullptr) deferred_ = deferred_ephemerons.fresh();
  if (deferred_ == nullptr) return false;
  deferred_->entries[deferred_->count++] = cell;
  return true;
}

void Marker::hand_over_deferred() {
  if (deferred_ != nullptr) deferred_ephemerons.hand_over(std::exchange(deferred_, nullptr));
}

bool Marker::settle_ephemerons() {
  hand_over_deferred();
  bool grey = false;
  while (Segment* segment = deferred_ephemerons.take()) {
    for (; segment->count > 0; grey = true) settle(segment->entries[--segment->count]);
    deferred_ephemerons.recycle(segment);
  }
  return grey && (has_local() || next_ != words_);
}

void Marker::settle(std::uintptr_t cell) {
  const std::uintptr_t word = reinterpret_cast<const detail::EphemeronCell*>(cell)->load_key();
  const ObjectRef key = resolve(word);
  if (word == 0) return;
  if (!is_white(key)) return push(cell);
  if (!waiting_ephemerons.add(cell, key, cycle_)) {
    visit(reinterpret_cast<const std::uintptr_t*>(cell));  // no memory: the key lives until the next cycle
    return push(cell);
  }
  if (was_marked(key, epoch_)) wake_ephemerons(key);
}

void Marker::wake_ephemerons(const ObjectRef& key) {
  waiting_ephemerons.wake(key, [this](std::uintptr_t cell) { push(cell); });
}

}  // namespace lull::gc

#include "gc/mark/marker.h"

#include "alloc/base/check.h"
#include "gc/mark/trace_check.h"
#include "gc/model/options.h"

namespace lull::gc {

constinit MarkTotals mark_totals;

Marker::Marker() : cycle_(current_cycle.load(std::memory_order_relaxed)), epoch_(mark_epoch.load(std::memory_order_relaxed)) {
  range_ = detail::heap_range;
  next_ = words_;
  end_ = words_ + kWords;
  flush_ = words_full;
}

Marker::~Marker() {
  if (local_ == nullptr) return;
  LULL_CHECK(local_->count == 0 || cycle_must_abort.load(std::memory_order_relaxed), "marker destroyed with grey objects");
  local_->count = 0;
  grey_pool.recycle(local_);
}

void Marker::words_full(tracer& t) { static_cast<Marker&>(t).process_words(); }

void Marker::process_words() {
  const std::uintptr_t* end = next_;
  next_ = words_;  // marking pushes, it does not trace: nothing is added meanwhile
  for (const std::uintptr_t* w = words_; w != end; ++w) mark_word(*w);
}

void Marker::mark_word(std::uintptr_t word) {
  const ObjectRef object = resolve(word);
  if (!object || is_marked(object, epoch_) || !is_candidate(object, cycle_)) return;
  // Rules 7 and 8. The driver marks in other states too (done: what destructors need), which the call leaves alone.
  if (mark_state.load(std::memory_order_acquire) == MarkState::terminating && !cancel_termination()) return;
  switch (try_mark(object, epoch_)) {
    case MarkResult::already: return;
    case MarkResult::busy: return push(raw_entry(word));
    case MarkResult::newly: break;
  }
  ++marked_objects_;
  marked_bytes_ += object.span->slot_bytes;
  if (kind_of(*object.span).layout != detail::Layout::no_pointers) push(object.address());
}

void Marker::push(std::uintptr_t entry) {
  if (local_ == nullptr || local_->full()) [[unlikely]] if (!make_room()) return;
  local_->entries[local_->count++] = entry;
}

bool Marker::make_room() {
  if (local_ != nullptr) grey_pool.put(local_);  // termination was cancelled before the first mark in it
  local_ = grey_pool.fresh();
  if (local_ == nullptr) cycle_must_abort.store(true, std::memory_order_relaxed);
  return local_ != nullptr;
}

void Marker::take_entries(Segment& segment) {
  while (segment.count > 0) push(segment.entries[--segment.count]);
}

bool Marker::refill() {
  Segment* segment = grey_pool.take();
  if (segment == nullptr) return false;
  if (local_ != nullptr) grey_pool.recycle(local_);
  local_ = segment;
  return true;
}

// So that helpers and assists find work while this marker has plenty.
void Marker::share_when_pool_is_dry() {
  until_share_ = kShareEvery;
  if (local_ == nullptr || local_->count < kShareAtLeast || !grey_pool.empty()) return;
  Segment* half = grey_pool.fresh();
  if (half == nullptr) return;
  const std::uint32_t kept = local_->count / 2;
  while (local_->count > kept && !half->full()) half->entries[half->count++] = local_->entries[--local_->count];
  grey_pool.put(half);  // termination was cancelled before their marks
}

std::uintptr_t Marker::take_from_ring() {
  for (std::uint32_t i = 0; i < kRing; ++i) {
    std::uintptr_t& place = ring_[(ring_at_ + i) % kRing];
    if (place == 0) continue;
    const std::uintptr_t entry = place;
    place = 0;
    return entry;
  }
  return 0;
}

// The entry that waited longest, each local one prefetched on its way in; 0 when local segment and ring are empty.
std::uintptr_t Marker::next_entry() {
  while (local_ != nullptr && local_->count > 0) {
    const std::uintptr_t entry = local_->entries[--local_->count];
    __builtin_prefetch(reinterpret_cast<const void*>(entry));
    std::uintptr_t& place = ring_[ring_at_++ % kRing];
    const std::uintptr_t waited = place;
    place = entry;
    if (waited != 0) return waited;
  }
  return take_from_ring();
}

bool Marker::drain(std::uint64_t budget) {
  const std::uint64_t stop_at = scanned_bytes_ + budget;
  while (scanned_bytes_ < stop_at) {
    std::uintptr_t entry = next_entry();
    if (entry == 0) {
      if (!refill()) return true;
      continue;
    }
    scan(entry);
    if (--until_share_ == 0) share_when_pool_is_dry();
  }
  return false;
}

void Marker::hand_over_rest() {
  while (const std::uintptr_t entry = take_from_ring()) push(entry);
  if (local_ == nullptr) return;
  grey_pool.hand_over(local_);
  local_ = nullptr;
}

void Marker::scan(std::uintptr_t entry) {
  if (is_raw(entry)) mark_word(entry & ~std::uintptr_t{1});
  else scan_object(entry);
}

void Marker::scan_object(std::uintptr_t object) {
  const pages::Span& span = *pages::managed_span_of(object);
  const Kind& kind = kind_of(span);
  if (kind.layout == detail::Layout::traced) {
    if (options.check_trace != 0) [[unlikely]] check_traced(kind, object, span.slot_bytes);
    kind.trace(reinterpret_cast<const void*>(object), *this);
  } else {
    scan_conservatively(object, span.slot_bytes);
  }
  process_words();
  scanned_bytes_ += span.slot_bytes;
}

void Marker::scan_conservatively(std::uintptr_t object, std::size_t bytes) {
  for (std::uintptr_t at = object; at < object + bytes; at += sizeof(std::uintptr_t))
    visit(reinterpret_cast<const std::uintptr_t*>(at));
}

void Marker::check_traced(const Kind& kind, std::uintptr_t object, std::size_t bytes) {
  SlotLog log;
  slots_seen_ = &log;
  kind.trace(reinterpret_cast<const void*>(object), *this);
  slots_seen_ = nullptr;
  process_words();
  report_forgotten_fields(kind, object, bytes, log);
}

void publish_counts(Marker& marker) {
  mark_totals.objects.fetch_add(marker.marked_objects(), std::memory_order_relaxed);
  mark_totals.bytes.fetch_add(marker.marked_bytes(), std::memory_order_relaxed);
  mark_totals.scanned_bytes.fetch_add(marker.scanned_bytes(), std::memory_order_relaxed);
  marker.reset_counts();
}

}  // namespace lull::gc

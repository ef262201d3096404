#include "gc/mark/marker.h"

#include <algorithm>
#include <utility>

#include "alloc/base/check.h"
#include "gc/mark/trace_check.h"
#include "gc/model/delay.h"
#include "gc/model/options.h"

namespace lull::gc {

constinit MarkTotals mark_totals;

namespace {

// Of a word that is known to point into a managed span.
const Span& span_of(std::uintptr_t object) {
  return *pages::span_with(static_cast<SpanId>(pages::reservation.owners[pages::page_of(object).value].load(std::memory_order_relaxed)));
}

}  // namespace

Marker::Marker() : cycle_(current_cycle.load(std::memory_order_relaxed)), epoch_(mark_epoch.load(std::memory_order_relaxed)) {
  next_ = words_;
  end_ = words_ + kWords;
  flush_ = words_full;
  ephemeron_ = meet_ephemeron;
}

Marker::~Marker() {
  hand_over_deferred();
  if (local_ == nullptr) return;
  LULL_CHECK(!has_local() || cycle_must_abort.load(std::memory_order_relaxed), "marker destroyed with grey objects");
  grey_pool.recycle(close());
}

void Marker::open(Segment* segment) {
  local_ = segment;
  bottom_ = segment->entries;
  top_ = bottom_ + segment->count;
  limit_ = bottom_ + Segment::limit();
}

Segment* Marker::close() {
  local_->count = static_cast<std::uint32_t>(top_ - bottom_);
  top_ = bottom_ = limit_ = nullptr;
  return std::exchange(local_, nullptr);
}

bool Marker::make_room() {
  if (local_ != nullptr) grey_pool.put(close());  // termination was cancelled before the first mark in it
  Segment* segment = grey_pool.fresh();
  if (segment == nullptr) cycle_must_abort.store(true, std::memory_order_relaxed);
  else open(segment);
  return segment != nullptr;
}

bool Marker::refill() {
  Segment* segment = grey_pool.take();
  if (segment == nullptr) return false;
  delay_point("marker has taken");
  if (local_ != nullptr) grey_pool.recycle(close());
  open(segment);
  return true;
}

// So that helpers and assists find work while this marker has plenty. The oldest half goes: what hangs on it is largest. The
// block that waits for its lines is older than the stack's top, but in a narrow graph it is all there is besides.
void Marker::share_when_pool_is_dry() {
  until_share_ = kShareEvery;
  if (!grey_pool.empty()) return;
  if (top_ - bottom_ < kShareAtLeast) return_block(*ahead_);
  const auto have = static_cast<std::uint32_t>(top_ - bottom_);
  if (have < kShareAtLeast) return;
  Segment* half = grey_pool.fresh();
  if (half == nullptr) return;
  half->count = have / 2;
  std::copy(bottom_, bottom_ + half->count, half->entries);
  top_ = std::copy(bottom_ + half->count, top_, bottom_);
  grey_pool.put(half);  // termination was cancelled before their marks
}

// Raw entries become words at once.
void Marker::fill(Block& block) {
  block.at = block.count = 0;
  while (has_local() && block.count < kBlock) {
    const std::uintptr_t entry = *--top_;
    if (is_raw(entry)) [[unlikely]] {
      *next_++ = entry & ~std::uintptr_t{1};
      if (next_ == end_) process_words();
      continue;
    }
    __builtin_prefetch(reinterpret_cast<const void*>(entry));
    block.entries[block.count++] = entry;
  }
}

// Makes `now_` a block to scan, if there is anything grey at all.
bool Marker::next_block() {
  while (now_->empty()) {
    std::swap(now_, ahead_);
    if (now_->empty()) fill(*now_);
    if (now_->empty()) process_words();
    if (now_->empty() && !has_local() && !refill()) return false;
  }
  if (ahead_->empty()) fill(*ahead_);
  return true;
}

inline void Marker::scan_object(std::uintptr_t object) {
  const Span& span = span_of(object);
  const Kind& kind = kind_of(span);
  const std::size_t bytes = span.slot_bytes;
  if (bytes > plain_bytes_) [[unlikely]] return scan_rare(kind, object, bytes);
  if (kind.layout == detail::Layout::traced) kind.trace(reinterpret_cast<const void*>(object), *this);
  else scan_conservatively(object, object + bytes);
  scanned_bytes_ += bytes;
}

void Marker::scan_block(Block& block, std::uint64_t stop_at) {
  while (!block.empty() && scanned_bytes_ < stop_at) {
    const std::uintptr_t entry = block.entries[block.at++];
    if (is_slice(entry)) [[unlikely]] scan_slice(entry);
    else scan_object(entry);
    if (--until_share_ == 0) [[unlikely]] share_when_pool_is_dry();
  }
}

// As long as one entry leads to one: nothing can be prefetched, so nothing is gained by blocks.
void Marker::scan_chain(std::uint64_t stop_at) {
  while (top_ - bottom_ == 1 && scanned_bytes_ < stop_at) {
    const std::uintptr_t entry = *--top_;
    if (is_raw(entry)) [[unlikely]] mark_word(entry & ~std::uintptr_t{1});
    else if (is_slice(entry)) [[unlikely]] scan_slice(entry);
    else scan_object(entry);
    process_words();
  }
}

bool Marker::drain(std::uint64_t budget) {
  const std::uint64_t stop_at = scanned_bytes_ + budget;
  process_words();
  while (scanned_bytes_ < stop_at) {
    if (is_chain()) scan_chain(stop_at);
    if (!next_block()) return true;
    scan_block(*now_, stop_at);
    process_words();
  }
  return false;
}

void Marker::return_block(Block& block) {
  while (!block.empty()) push(block.entries[block.at++]);
}

void Marker::hand_over_rest() {
  process_words();
  return_block(*now_);
  return_block(*ahead_);
  if (local_ != nullptr) grey_pool.hand_over(close());
  hand_over_deferred();
}

void Marker::scan_rare(const Kind& kind, std::uintptr_t object, std::size_t bytes) {
  const bool traced = kind.layout == detail::Layout::traced;
  if (traced && options.check_trace != 0) check_traced(kind, object, bytes);
  if (bytes > kSliceBytes && (!traced || kind.trace_part != nullptr)) return push_slices(object, object + bytes);
  if (traced) kind.trace(reinterpret_cast<const void*>(object), *this);
  else scan_conservatively(object, object + bytes);
  scanned_bytes_ += bytes;
}

// Of a large object as many slices as an assist can push; those of the first step are cut again when their turn comes. The
// last one is pushed first, so that they are scanned in order.
void Marker::push_slices(std::uintptr_t from, std::uintptr_t to) {
  const bool small = to - from <= kLargeSliceBytes;
  const std::size_t step = small ? kSliceBytes : kLargeSliceBytes;
  for (std::uintptr_t at = from + (to - from - 1) / step * step; at >= from; at -= step)
    push(small ? small_slice(at) : large_slice(at));
}

void Marker::scan_slice(std::uintptr_t entry) {
  const std::uintptr_t from = slice_address(entry);
  const Span& span = span_of(from);
  const std::uintptr_t object = span.slot_address(span.slot_of(from)), end = object + span.slot_bytes;
  if (is_large_slice(entry)) return push_slices(from, std::min(from + kLargeSliceBytes, end));
  const std::uintptr_t to = std::min(from + kSliceBytes, end);
  scan_range(kind_of(span), object, from, to);
  scanned_bytes_ += to - from;
}

void Marker::scan_range(const Kind& kind, std::uintptr_t object, std::uintptr_t from, std::uintptr_t to) {
  if (kind.layout == detail::Layout::conservative) scan_conservatively(from, to);
  else kind.trace_part(reinterpret_cast<const void*>(object), from - object, to - object, *this);
}

bool Marker::scan_part(const ObjectRef& object, std::uintptr_t from, std::uintptr_t to) {
  const Kind& kind = kind_of(*object.span);
  const std::uintptr_t begin = object.address(), end = begin + object.span->slot_bytes;
  const bool whole = kind.layout == detail::Layout::traced && kind.trace_part == nullptr;
  from = whole ? begin : std::max(from, begin);
  to = whole ? end : std::min(to, end);
  if (whole) kind.trace(reinterpret_cast<const void*>(begin), *this);
  else scan_range(kind, begin, from, to);
  scanned_bytes_ += to - from;
  if (--until_share_ == 0) share_when_pool_is_dry();
  return whole;
}

void Marker::scan_conservatively(std::uintptr_t from, std::uintptr_t to) {
  while (from < to) {
    const std::size_t room = static_cast<std::size_t>(end_ - next_);
    const std::size_t count = std::min((to - from) / sizeof(std::uintptr_t), room);
    next_ += filter_(reinterpret_cast<const std::uintptr_t*>(from), count, next_, range_);
    if (next_ == end_) process_words();
    from += count * sizeof(std::uintptr_t);
  }
}

void Marker::mark_words(const std::uintptr_t* begin, const std::uintptr_t* end) {
  scan_conservatively(reinterpret_cast<std::uintptr_t>(begin), reinterpret_cast<std::uintptr_t>(end));
  process_words();
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LULL_STACKS_WORD_BY_WORD 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define LULL_STACKS_WORD_BY_WORD 1
#endif
#endif

#ifdef LULL_STACKS_WORD_BY_WORD
// Red zones and all, and a thread that comes to run on it meanwhile writes: sanitizers must look away.
[[gnu::no_sanitize_address, gnu::no_sanitize_thread, gnu::noinline]] static std::size_t copy_words(std::uintptr_t from, std::uintptr_t* to, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) to[i] = reinterpret_cast<const volatile std::uintptr_t*>(from)[i];
  return count;
}

void Marker::mark_stack(std::uintptr_t low, std::uintptr_t high) {
  constexpr std::size_t kPiece = 128;
  std::uintptr_t piece[kPiece];
  scanned_bytes_ += high - low;
  for (low = (low + 7) & ~std::uintptr_t{7}; low + 8 <= high;) {
    const std::size_t count = copy_words(low, piece, std::min((high - low) / 8, kPiece));
    mark_words(piece, piece + count);
    low += count * 8;
  }
}
#else
void Marker::mark_stack(std::uintptr_t low, std::uintptr_t high) {
  scan_conservatively((low + 7) & ~std::uintptr_t{7}, high & ~std::uintptr_t{7});
  process_words();
  scanned_bytes_ += high - low;
}
#endif

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

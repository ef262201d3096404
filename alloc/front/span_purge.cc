#include "alloc/front/span_purge.h"

#include "alloc/front/central.h"
#include "alloc/front/fork_gate.h"
#include "alloc/front/neighbours.h"
#include "alloc/pages/page_heap.h"
#include "alloc/pages/span_holes.h"
#include "alloc/pages/span_table.h"

namespace lull::front {
namespace {

// Free blocks of one span, taken out of it for a while.
class TakenBlocks {
 public:
  explicit TakenBlocks(Span& span) : span_(span) {
    const Reserved reserved = reserve(span, kMostWords * 64);  // all: until some are taken `slots` may be about to become another span's
    taken_ = reserved.count;
    held_ = (reserved.before & kHeld) != 0;
    collect_blocks(span, taken_, [&](std::uint32_t word, std::uint64_t bits) { free_[word] |= bits; });
  }
  ~TakenBlocks() {
    // The last give may be the span's end, so its words are not counted after it.
    const std::uint32_t words = taken_ == 0 ? 0 : span_.words;
    for (std::uint32_t w = 0; w < words; ++w)
      if (free_[w] != 0) give_bits(span_, w, free_[w]);
  }
  TakenBlocks(const TakenBlocks&) = delete;
  TakenBlocks& operator=(const TakenBlocks&) = delete;

  // System pages, a bit each, with no byte outside of taken blocks.
  std::uint32_t whole_pages() const { return pages::whole_pages_of_holes(span_, free_, true); }
  std::uint32_t count() const { return taken_; }
  bool is_held() const { return held_; }

 private:
  static constexpr std::uint32_t kMostWords = 32;  // blocks of 16 bytes in a span of 32 KiB

  Span& span_;
  std::uint32_t taken_ = 0;
  bool held_ = false;
  std::uint64_t free_[kMostWords] = {};
};

constexpr bool spans_fit_the_words() {
  for (std::uint32_t bin = kFirstBin; bin < kBins; ++bin)
    if (geometry_of_bin(bin).slots > 32 * 64) return false;
  return true;
}
static_assert(spans_fit_the_words());

// A span that somebody takes from is marked by the taker. Between the two marks lies room, so a span does not change its mark in
// every round.
void mark_if_sparse(const Span& span, const TakenBlocks& blocks) {
  const bool is = is_sparse(span);
  const bool becomes = blocks.count() * 4 >= span.slots * 3, ceases = blocks.is_held() || blocks.count() * 2 < span.slots;
  if (!is && becomes && !blocks.is_held()) mark_pages(span, kSparseMark);
  if (is && ceases) mark_pages(span, 0);
}

// The span's pages stay its own while blocks of it are taken, so everything up to the end is about this span, even if
// the descriptor was another's when the caller looked.
std::size_t purge_span(Span& span) {
  const Visiting visiting(nullptr);
  const TakenBlocks blocks(span);
  if (blocks.count() == 0) return 0;
  mark_if_sparse(span, blocks);
  const std::uint32_t before = span.purged_pages().load(std::memory_order_relaxed);
  const std::uint32_t whole = blocks.whole_pages();
  const std::size_t bytes = pages::purge_system_pages(span, whole & ~before);
  span.purged_pages().store(whole, std::memory_order_relaxed);
  return bytes;
}

// The descriptor may become another span's at any moment: then the answer is about some span.
bool is_worth_a_look(Span& span, PageIndex first_page, bool idle_only) {
  const std::uint32_t state = span.free_state().load(std::memory_order_relaxed);
  const bool has_pages = (state & kCountMask) * __atomic_load_n(&span.slot_bytes, __ATOMIC_RELAXED) >= pages::kSystemPage;
  if ((!has_pages && !is_sparse(first_page)) || (state & kDead)) return false;
  const bool is_idle = span.state_at_last_look().exchange(state & kCountMask, std::memory_order_relaxed) == (state & kCountMask);
  return !idle_only || is_idle;
}

std::size_t purge_spans(std::size_t most, bool idle_only) {
  std::size_t purged = 0;
  const PageIndex end = pages::heap_end();
  for (PageIndex at{0}; at < end && purged < most; at = at + PageCount{1}) {
    Span* span = small_span_of(pages::address_of(at));
    if (span != nullptr && pages::page_of(__atomic_load_n(&span->base, __ATOMIC_RELAXED)) == at && is_worth_a_look(*span, at, idle_only)) purged += purge_span(*span);
  }
  return purged;
}

}  // namespace

std::size_t purge_idle_spans(std::size_t most) { return purge_spans(most, true); }
std::size_t purge_all_spans() { return purge_spans(~std::size_t{0}, false); }

}  // namespace lull::front

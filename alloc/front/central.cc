#include "alloc/front/central.h"

#include <cstring>
#include <utility>

#include "alloc/base/check.h"
#include "alloc/front/background.h"
#include "alloc/front/fork_gate.h"
#include "alloc/front/misuse.h"
#include "alloc/front/neighbours.h"
#include "alloc/front/secure.h"
#include "alloc/pages/purger.h"
#include "alloc/pages/span_table.h"

namespace lull::front {

constinit CentralBin central[kBins] = {};

namespace {

// Wholly free spans that are kept: one a class, since none thrashes the page heap where threads come and go, as long as all of them together
// are no more than this: a program that turns from size to size would leave one behind in each.
constexpr std::int32_t kSpares = 1, kMostSparePages = 32;
constinit std::atomic<std::int32_t> spare_pages{0};  // of all classes; like CentralBin::empties

constexpr auto kGeometry = [] {
  std::array<pages::SpanGeometry, kBins> all{};
  for (std::uint32_t bin = kFirstBin; bin < kBins; ++bin) all[bin] = geometry_of_bin(bin);
  return all;
}();

// One more wholly free span (1) or one less (-1).
void count_spare(std::uint32_t bin, std::int32_t change) {
  central[bin].empties.fetch_add(change, std::memory_order_relaxed);
  spare_pages.fetch_add(change * static_cast<std::int32_t>(kGeometry[bin].pages.value), std::memory_order_relaxed);
}

// Whether a wholly free span of the class goes back. `counted`: 1 when it is one of the spares already, 0 when not yet.
bool are_enough_spares(std::uint32_t bin, std::int32_t counted) {
  const auto pages = static_cast<std::int32_t>(kGeometry[bin].pages.value);
  return central[bin].empties.load(std::memory_order_relaxed) >= kSpares + counted ||
         spare_pages.load(std::memory_order_relaxed) + (1 - counted) * pages > kMostSparePages;
}

// At most `most` blocks of a span that was in no thread's hands; with all of them reserved the span is not held, but exhausted.
struct FirstBlocks {
  Span* span = nullptr;
  std::uint32_t count = 0;
  bool held = false, fresh = false;  // fresh: the blocks are the span's first, and have no bits
};

FirstBlocks create_small_span(BinIndex bin, std::uint32_t most, Home home) {
  const bool secure = is_secure();
  Span* span = pages::create_span(kGeometry[bin], {.page_class = static_cast<pages::PageClass>(bin),
                                                   .bitmaps = secure ? 2u : 1u, .secure = secure});
  if (span == nullptr) return {};
  if (secure && span->needs_zero) std::memset(reinterpret_cast<void*>(span->base), 0, span->end() - span->base);
  const std::uint32_t count = span->slots < most ? span->slots : most, rest = span->slots - count;
  for_words_in_range(count, span->slots, [&](std::uint32_t w, std::uint64_t mask) {
    span->free_bits()[w].store(mask, std::memory_order_relaxed);
  });
  if (count == 0) count_spare(bin, 1);
  span->free_state().store(rest == 0 ? home : kLinked | kHeld | home | rest, std::memory_order_release);  // pairs with reserve_blocks()
  return {span, count, rest != 0, true};
}

BinIndex bin_of_span(const Span& span) { return bin_of(span.slot_bytes); }

// Adds `n` blocks whose bits the caller has just set. Links the span if nobody is responsible for it, retires it if it is
// wholly free, nobody holds it, and there are enough spare ones.
void count_free(Span& span, std::uint32_t n) {
  const BinIndex bin = bin_of_span(span);
  const std::uint32_t slots = span.slots;
  const PageIndex first = span.first_page();
  const PageCount count{span.page_count};
  // Until the swap the span misses at least the caller's blocks, so it is alive; after it, it may be gone.
  std::uint32_t before = span.free_state().load(std::memory_order_relaxed), after;
  bool dead;
  do {
    // A block freed by two threads that goes unseen between a new span's bitmap and the old one's.
    if ((before & kDead) || (before & kCountMask) + n > slots) report_double_free(reinterpret_cast<void*>(span.base));
    const bool full = (before & kCountMask) + n == slots;
    dead = full && !(before & kHeld) && are_enough_spares(bin, 0);
    after = dead ? kLinked | kDead | (before & kHomeMask) : (before + n) | kLinked;
    // acq_rel: pairs with reserve_blocks(), and the next user of the pages comes after everybody who freed into them
  } while (!span.free_state().compare_exchange_weak(before, after, std::memory_order_acq_rel, std::memory_order_relaxed));
  if (dead) pages::release_pages(first, count, pages::Reuse::soon);
  else if ((after & kCountMask) == slots) count_spare(bin, 1);
  if (!(before & kLinked)) central[bin].set_of(before).push(&span);
}

// Blocks that share a word of one span's bitmap. What there is to know of a block on its way back its page's entry tells, so the descriptor, whose line another
// processor may have, is not touched until the word is given.
struct Gathered {
  SpanId span;
  std::uint32_t word;
  std::uint64_t mask;   // of the word's blocks
  std::uint32_t count;  // of blocks; of the mask's bits, too, unless one of them comes twice
};

void* block_at(const Span& span, std::uint32_t word, std::uint64_t bits) {
  return reinterpret_cast<void*>(span.slot_address(word * 64 + static_cast<std::uint32_t>(std::countr_zero(bits))));
}

// `n` bits; release: pairs with collect_blocks() and, through the count, with reserve_blocks()
void give_bits(Span& span, std::uint32_t word, std::uint64_t bits, std::uint32_t n) {
  const std::uint64_t before = span.free_bits()[word].fetch_or(bits, std::memory_order_release);
  if (before & bits) report_double_free(block_at(span, word, before & bits));
  count_free(span, n);
}

// Groups blocks by span and word on their way back (after BatchIt, Li et al., ISMM 2024, which groups by slab). Blocks
// that come one after the other mostly share a word; those that do not meet in a small table.
class Gatherer {
 public:
  Gatherer(Block* const* blocks, std::uint32_t n) : blocks_(blocks), n_(n) {}
  ~Gatherer() {
    for (; used_ != 0; used_ &= used_ - 1) give(places_[std::countr_zero(used_)]);
  }
  void add_all() {
    for (std::uint32_t i = 0; i < n_;) i = add(i);
  }

 private:
  static constexpr std::uint32_t kPlaces = 64;  // fewer: words that are given in parts

  // The `at`th and those behind it that lie in the same word; returns the next one's number.
  std::uint32_t add(std::uint32_t at) {
    const std::uintptr_t address = reinterpret_cast<std::uintptr_t>(blocks_[at]), offset = address - pages::reservation.base;
    const std::size_t page = offset >> kPageShift;
    // acquire: pairs with the release in publish() of span_table.cc
    const auto entry = static_cast<std::uint32_t>(pages::reservation.classes[page].load(std::memory_order_acquire));
    const std::uint32_t bin = entry & 0xff;
    if (bin < kFirstBin) report_bad_free(blocks_[at]);
    const std::uint64_t reciprocal = kGeometry[bin].reciprocal;
    const std::uint32_t slots = kGeometry[bin].slots;
    const std::uint64_t in_span = (offset & (kPageSize - 1)) | pages::place_of(entry) << kPageShift;
    const auto slot = static_cast<std::uint32_t>((in_span * reciprocal) >> 32);
    if (slot >= slots) report_bad_free(blocks_[at]);  // free() knew that it is a multiple of the size
    const std::uint32_t word = slot / 64, first = word * 64;
    const std::size_t bytes = kGeometry[bin].slot_bytes;
    const std::uintptr_t word_base = address - (slot - first) * bytes;
    const std::uintptr_t word_bytes = (slots - first < 64 ? slots - first : 64) * bytes;
    std::uint64_t mask = bit_of(slot);
    // One comparison tells that a block is of this span and word. Whether it came before is left to give().
    Block* const* const end = blocks_ + n_;
    Block* const* next = blocks_ + at + 1;
    for (std::uintptr_t in_word; next != end && (in_word = reinterpret_cast<std::uintptr_t>(*next) - word_base) < word_bytes; ++next)
      add_bit(mask, (in_word * reciprocal) >> 32);
    const auto after = static_cast<std::uint32_t>(next - blocks_);
    Gathered& g = place_of(static_cast<SpanId>(pages::reservation.owners[page].load(std::memory_order_relaxed)), word);
    g.mask |= mask;
    g.count += after - at;
    return after;
  }
  void give(const Gathered& g) const {
    if (g.count != 1 && count_bits(g.mask) != g.count) report_twice(g);
    give_bits(*pages::span_with(g.span), g.word, g.mask, g.count);
  }
  Gathered& place_of(SpanId span, std::uint32_t word) {
    const std::uint32_t place = (static_cast<std::uint32_t>(span) * 3 + word) % kPlaces;
    Gathered& g = places_[place];
    const bool is_used = used_ >> place & 1;
    if (is_used && g.span == span && g.word == word) return g;
    if (is_used) give(g);
    used_ |= std::uint64_t{1} << place;
    return g = {span, word, 0, 0};
  }
  // One of the blocks that came so far lies in this word twice.
  [[noreturn, gnu::cold, gnu::noinline]] void report_twice(const Gathered& g) const {
    const Span& span = *pages::span_with(g.span);
    std::uint64_t seen = 0;
    for (std::uint32_t i = 0; i < n_; ++i) {
      const std::uintptr_t address = reinterpret_cast<std::uintptr_t>(blocks_[i]);
      if (small_span_of(address) != &span) continue;
      const std::uint32_t slot = span.slot_of(address);
      if (slot / 64 != g.word) continue;
      if (seen & bit_of(slot)) report_double_free(blocks_[i]);
      seen |= bit_of(slot);
    }
    report_double_free(block_at(span, g.word, g.mask));
  }

  Block* const* blocks_;
  std::uint32_t n_;
  std::uint64_t used_ = 0;  // places, a bit each; the others are not initialised
  Gathered places_[kPlaces];
};

}  // namespace

Span* small_span_of(std::uintptr_t address) {
  const PageIndex page = pages::page_of(address);
  // acquire: pairs with the release in publish() of span_table.cc
  const auto entry = pages::reservation.classes[page.value].load(std::memory_order_acquire);
  if (pages::low_byte(entry) < kFirstBin) return nullptr;
  return pages::span_with(static_cast<SpanId>(pages::reservation.owners[page.value].load(std::memory_order_relaxed)));
}

namespace {

// Of its own home's spans, or of the next one's that has any.
Span* pop_span(CentralBin& from, Home home) {
  const std::uint32_t own = home >> kHomeShift;
  for (std::uint32_t i = 0; i < kHomes; ++i)
    if (Span* span = from.homes[(own + i) % kHomes].pop()) return span;
  return nullptr;
}

// hold_span(), reserve() and drop_if_exhausted() in one step.
FirstBlocks hold_and_reserve(BinIndex bin, std::uint32_t most, Home home) {
  while (Span* span = pop_span(central[bin], home)) {
    // acquire, here and when the swap fails: pairs with the swap to kDead in count_free(), so all who freed into the span have done with
    // the descriptor
    std::uint32_t state = span->free_state().load(std::memory_order_acquire);
    for (;;) {
      if (state & kDead) break;  // its pages are gone; the descriptor is this thread's
      const std::uint32_t free = state & kCountMask, count = free < most ? free : most;
      const std::uint32_t wanted = free == count ? home : kLinked | kHeld | home | (free - count);
      // acquire: pairs with the release in give_bits(), as in reserve_blocks()
      if (!span->free_state().compare_exchange_weak(state, wanted, std::memory_order_acq_rel, std::memory_order_acquire)) continue;
      if (count != 0 && free == span->slots) count_spare(bin, -1);
      if (free != 0) return {span, count, free != count, false};
      span = nullptr;  // others took everything: unlinked
      break;
    }
    if (span != nullptr) pages::release_descriptor(span);
  }
  return create_small_span(bin, most, home);
}

}  // namespace

Span* hold_span(BinIndex bin) { return hold_and_reserve(bin, 0, home_number(0)).span; }

bool drop_if_exhausted(Span* span) {
  std::uint32_t state = span->free_state().load(std::memory_order_relaxed);
  while ((state & kCountMask) == 0)
    if (span->free_state().compare_exchange_weak(state, state & kHomeMask, std::memory_order_acq_rel, std::memory_order_relaxed)) return true;
  return false;
}

void release_held_span(BinIndex bin, Span* span) {
  if (drop_if_exhausted(span)) return;
  std::uint32_t state = span->free_state().load(std::memory_order_relaxed);
  bool dead;
  do {
    dead = (state & kCountMask) == span->slots && are_enough_spares(bin, 1);
  } while (!span->free_state().compare_exchange_weak(state, dead ? kDead : state & ~kHeld, std::memory_order_acq_rel,
                                                     std::memory_order_relaxed));
  if (!dead) return central[bin].set_of(state).push(span);
  count_spare(bin, -1);
  const PageIndex first = span->first_page();
  const PageCount count{span->page_count};
  pages::release_descriptor(span);
  pages::release_pages(first, count, pages::Reuse::soon);
}

Reserved reserve(Span& span, std::uint32_t most) {
  const Reserved reserved = reserve_blocks(span, most);
  if (reserved.count > 0 && (reserved.before & kCountMask) == span.slots)
    count_spare(bin_of_span(span), -1);
  return reserved;
}

namespace {

// Neighbours, the one at `address` last, before `end`.
void write_run(std::uintptr_t address, std::size_t bytes, std::uint32_t n, Block** end) {
  for (; n > 0; --n, address += bytes) *--end = reinterpret_cast<Block*>(address);
}

// `n` reserved blocks, the lowest address last.
void collect_into(Span& span, std::uint32_t n, Block** into) {
  if (span.purged_pages().load(std::memory_order_relaxed) != 0) span.purged_pages().store(0, std::memory_order_relaxed);
  Block** place = into + n;
  const std::size_t bytes = span.slot_bytes;
  collect_blocks(span, n, [&](std::uint32_t word, std::uint64_t bits) {
    while (bits != 0) {  // a run of neighbours each time
      const auto first = static_cast<std::uint32_t>(std::countr_zero(bits));
      std::uintptr_t address = span.slot_address(word * 64 + first);
      for (auto left = std::countr_one(bits >> first); left > 0; --left, address += bytes) *--place = reinterpret_cast<Block*>(address);
      bits &= bits + bit_of(first);
    }
  });
}

}  // namespace

std::uint32_t take_blocks(Span& span, std::uint32_t most, Block** into) {
  const std::uint32_t n = reserve(span, most).count;
  if (n != 0) collect_into(span, n, into);
  return n;
}

std::uint32_t take_first_blocks(BinIndex bin, std::uint32_t most, Block** into, Taker taker, Span*& held) {
  const FirstBlocks first = hold_and_reserve(bin, most, taker.home);
  held = first.held ? first.span : nullptr;
  if (first.span == nullptr) return 0;
  if (taker.mark != 0 || is_sparse(*first.span)) mark_pages(*first.span, taker.mark);
  if (first.fresh) write_run(first.span->base, first.span->slot_bytes, first.count, into + first.count);
  else collect_into(*first.span, first.count, into);
  return first.count;
}

void* take_one(BinIndex bin) {
  for (;;) {
    Span* span = hold_span(bin);
    if (span == nullptr) return nullptr;
    Block* block;
    const std::uint32_t taken = take_blocks(*span, 1, &block);
    release_held_span(bin, span);
    if (taken != 0) return block;
  }
}

void give_bits(Span& span, std::uint32_t word, std::uint64_t bits) { give_bits(span, word, bits, count_bits(bits)); }

void give_blocks(Block* const* blocks, std::uint32_t n) { Gatherer(blocks, n).add_all(); }

void after_giving() {
  note_blocks_given();
  pages::nudge_purger_from_free();
}

namespace {

// Takes every span out of the set once, so that nobody else retires it meanwhile.
std::size_t trim_set(std::uint32_t bin, cache::SpanSet& set) {
  std::size_t bytes = 0;
  cache::SpanSet keep;
  while (Span* span = set.pop()) {
    const Home home = span->free_state().load(std::memory_order_relaxed) & kHomeMask;  // of who had it last: it stays while this thread has it
    std::uint32_t expected = kLinked | home | span->slots;
    const PageIndex first = span->first_page();
    const PageCount count{span->page_count};
    if (span->free_state().compare_exchange_strong(expected, kLinked | kDead, std::memory_order_acq_rel)) {
      count_spare(bin, -1);
      pages::release_pages(first, count);  // the caller purges: no nudge, which may allocate, inside the visit
      bytes += count.bytes();
      expected = kDead;
    }
    if (expected & kDead) pages::release_descriptor(span);
    else keep.push(span);
  }
  while (Span* span = keep.pop()) set.push(span);
  return bytes;
}

}  // namespace

std::size_t trim_central() {
  const Visiting visiting(nullptr);
  std::size_t bytes = 0;
  for (std::uint32_t bin = kFirstBin; bin < kBins; ++bin)
    for (cache::SpanSet& set : central[bin].homes) bytes += trim_set(bin, set);
  return bytes;
}

}  // namespace lull::front

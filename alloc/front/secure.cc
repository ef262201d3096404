#include "alloc/front/secure.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "alloc/base/check.h"
#include "alloc/front/fork_gate.h"
#include "alloc/front/misuse.h"
#include "alloc/os/checker.h"
#include "alloc/os/guard_pages.h"
#include "alloc/os/lock.h"
#include "alloc/os/random.h"
#include "alloc/os/vm.h"
#include "alloc/pages/huge_pages.h"
#include "alloc/pages/span_table.h"

namespace lull::front {
namespace {

// Spans a class draws from: more are harder to foresee, fewer hold less memory.
constexpr std::uint32_t kMostOpen = 4;
constexpr std::uint32_t kPlacesWanted = 256;
// Of a class, freed blocks that wait: more find more uses after free, fewer hold less memory.
constexpr std::uint32_t kMostWaiting = 256;
constexpr std::size_t kMostWaitingBytes = 64 * 1024;
constexpr std::uint32_t kFewestWaiting = 4;

struct SecureBin {
  os::Lock lock{os::LockRank::central};
  Span* open[kMostOpen] = {};  // this and below: lock
  void* waiting[kMostWaiting] = {};
  os::RandomNumbers random;
};
struct SecureBins {
  SecureBin of[kBins];
};

// All locks here are taken inside visits (fork_gate.h), so that a fork finds them free.
constinit os::Lock bins_lock{os::LockRank::central};
constinit std::atomic<SecureBins*> secure_bins{nullptr};  // written once, under bins_lock

SecureBins* make_bins() {
  constexpr std::size_t kBytes = round_up(sizeof(SecureBins), kPageSize);
  auto* at = static_cast<std::byte*>(os::map(kBytes + 2 * kPageSize));
  if (at == nullptr) return nullptr;
  // Without guards where the system has none.
  static_cast<void>(os::install_guard(at, kPageSize) && os::install_guard(at + kPageSize + kBytes, kPageSize));
  return new (at + kPageSize) SecureBins;
}

// nullptr when memory runs out.
SecureBin* bin_at(BinIndex bin) {
  SecureBins* bins = secure_bins.load(std::memory_order_acquire);  // pairs with the release below
  if (bins == nullptr) {
    os::Locked locked(bins_lock);
    bins = secure_bins.load(std::memory_order_relaxed);
    if (bins == nullptr) secure_bins.store(bins = make_bins(), std::memory_order_release);
  }
  return bins == nullptr ? nullptr : &bins->of[bin];
}

std::uint32_t open_spans_of(BinIndex bin) {
  const std::uint32_t slots = geometry_of_bin(bin).slots;
  return std::clamp(kPlacesWanted / slots, 2u, kMostOpen);
}
std::uint32_t waiting_of(BinIndex bin) {
  return std::clamp(static_cast<std::uint32_t>(kMostWaitingBytes / bytes_of_bin(bin)), kFewestWaiting, kMostWaiting);
}

std::uint32_t count_free_bits(Span& span) {
  std::uint32_t count = 0;
  for (std::uint32_t w = 0; w < span.words; ++w)
    count += count_bits(span.free_bits()[w].load(std::memory_order_relaxed));
  return count;
}

// The `which`th free bit of the span, counted from 0; none when they have become fewer.
struct FreeBit { std::uint32_t word = 0; std::uint64_t bit = 0; };
FreeBit find_free_bit(Span& span, std::uint32_t which) {
  for (std::uint32_t w = 0; w < span.words; ++w) {
    std::uint64_t bits = span.free_bits()[w].load(std::memory_order_relaxed);
    const std::uint32_t here = count_bits(bits);
    if (which >= here) {
      which -= here;
      continue;
    }
    for (; which > 0; --which) bits &= bits - 1;
    return {w, bits & -bits};
  }
  return {};
}

// Clears the bit of a random free block, one of which the caller has reserved; its slot. The purger may be at the others.
std::uint32_t draw_slot(Span& span, os::RandomNumbers& random) {
  for (;;) {
    const std::uint32_t free = count_free_bits(span);
    if (free == 0) continue;
    const FreeBit drawn = find_free_bit(span, random.below(free));
    // acquire: pairs with the release in give_bits()
    if (drawn.bit != 0 && (span.free_bits()[drawn.word].fetch_and(~drawn.bit, std::memory_order_acquire) & drawn.bit))
      return drawn.word * 64 + static_cast<std::uint32_t>(std::countr_zero(drawn.bit));
  }
}

void check_still_zero(const std::byte* block, std::size_t bytes) {
  for (std::size_t at = 0; at < bytes; at += sizeof(std::uint64_t)) {
    std::uint64_t word;
    std::memcpy(&word, block + at, sizeof word);
    if (word != 0) [[unlikely]] report_write_after_free(block, at, bytes);
  }
}

// Opens spans where some are missing. False: there is none.
bool open_spans_locked(SecureBin& s, BinIndex bin) {
  bool any = false;
  const std::uint32_t wanted = open_spans_of(bin);
  for (std::uint32_t i = 0; i < wanted; ++i) {
    if (s.open[i] == nullptr) s.open[i] = hold_span(bin);
    any |= s.open[i] != nullptr;
  }
  return any;
}

void* take_locked(SecureBin& s, BinIndex bin) {
  const std::uint32_t wanted = open_spans_of(bin);
  while (open_spans_locked(s, bin)) {
    Span*& span = s.open[s.random.below(wanted)];
    if (span == nullptr) continue;
    if (reserve(*span, 1).count == 0) {
      if (drop_if_exhausted(span)) span = nullptr;
      continue;
    }
    if (span->purged_pages().load(std::memory_order_relaxed) != 0) span->purged_pages().store(0, std::memory_order_relaxed);
    const std::uint32_t slot = draw_slot(*span, s.random);
    span->live_bits()[slot / 64].fetch_or(bit_of(slot), std::memory_order_relaxed);
    auto* block = reinterpret_cast<std::byte*>(span->slot_address(slot));
    if (drop_if_exhausted(span)) span = nullptr;
    return block;
  }
  return nullptr;
}

void give_one(void* block) {
  if (block == nullptr) return;
  const auto address = reinterpret_cast<std::uintptr_t>(block);
  Span& span = *small_span_of(address);
  const std::uint32_t slot = span.slot_of(address);
  give_bits(span, slot / 64, bit_of(slot));
}

// Moves what is not null to `taken`; its number.
template <class T>
std::uint32_t take_all(T** places, std::uint32_t n, T** taken) {
  std::uint32_t count = 0;
  for (std::uint32_t i = 0; i < n; ++i)
    if (T* here = std::exchange(places[i], nullptr)) taken[count++] = here;
  return count;
}

// True: there was something. It is given without the lock, which others need to take.
bool empty_bin(SecureBin& s, BinIndex bin) {
  void* waiting[kMostWaiting];
  Span* open[kMostOpen];
  std::uint32_t blocks, spans;
  {
    os::Locked locked(s.lock);
    blocks = take_all(s.waiting, kMostWaiting, waiting);
    spans = take_all(s.open, kMostOpen, open);
  }
  for (std::uint32_t i = 0; i < blocks; ++i) give_one(waiting[i]);
  for (std::uint32_t i = 0; i < spans; ++i) release_held_span(bin, open[i]);
  return blocks + spans > 0;
}

// Large blocks.

constexpr std::uint32_t kLargeWaiting = 64;
constexpr std::size_t kMostLargeBytes = std::size_t{256} << 20;  // of address space, without memory

struct LargeQuarantine {
  os::Lock lock{os::LockRank::central};
  Span* waiting[kLargeWaiting] = {};  // this and below: lock
  os::RandomNumbers random;
  std::size_t bytes = 0;
};
constinit LargeQuarantine large{};

void* start_of(const Span& span) { return reinterpret_cast<void*>(span.base); }

void release_large(Span* span) {
  if (span == nullptr) return;
  // Pages whose guard does not go can never be used again.
  if (os::remove_guard(start_of(*span), PageCount{span->page_count}.bytes())) pages::destroy_span(span);
}

bool empty_large_quarantine() {
  bool any = false;
  for (Span*& place : large.waiting) {
    Span* span;
    {
      os::Locked locked(large.lock);
      span = std::exchange(place, nullptr);
      if (span != nullptr) large.bytes -= PageCount{span->page_count}.bytes();
    }
    any |= span != nullptr;
    release_large(span);
  }
  return any;
}

}  // namespace

void* allocate_secure(BinIndex bin) {
  const Visiting visiting(nullptr);
  SecureBin* s = bin_at(bin);
  if (s == nullptr) return nullptr;
  void* block;
  do {
    os::Locked locked(s->lock);
    block = take_locked(*s, bin);
  } while (block == nullptr && trim_secure());
  if (block == nullptr) return nullptr;
  os::allow(reinterpret_cast<std::uintptr_t>(block), bytes_of_bin(bin));
  check_still_zero(static_cast<std::byte*>(block), bytes_of_bin(bin));
  return block;
}

namespace {

void free_in_visit(void* address) {
  const auto word = reinterpret_cast<std::uintptr_t>(address);
  const Visiting visiting(nullptr);
  Span* span = small_span_of(word);
  if (span == nullptr) report_bad_free(address);
  const std::uint32_t slot = span->slot_of(word);
  if (slot >= span->slots || span->slot_address(slot) != word) report_bad_free(address);
  // acq_rel: of two frees one sees the other; what the block's users wrote comes before the zeros
  if (!(span->live_bits()[slot / 64].fetch_and(~bit_of(slot), std::memory_order_acq_rel) & bit_of(slot)))
    report_double_free(address);
  std::memset(address, 0, span->slot_bytes);
  os::forbid(word, span->slot_bytes);
  const BinIndex bin = bin_of(span->slot_bytes);
  SecureBin& s = *bin_at(bin);
  void* pushed_out;
  {
    os::Locked locked(s.lock);
    pushed_out = std::exchange(s.waiting[s.random.below(waiting_of(bin))], address);
  }
  give_one(pushed_out);
}

}  // namespace

void free_secure(void* address) {
  free_in_visit(address);
  after_giving();
}

bool is_live(Span& span, std::uintptr_t address) {
  const std::uint32_t slot = span.slot_of(address);
  return span.live_bits()[slot / 64].load(std::memory_order_relaxed) & bit_of(slot);
}

void retire_large_secure(Span* span) {
  const Visiting visiting(nullptr);
  const std::size_t bytes = PageCount{span->page_count}.bytes();
  if (bytes > kMostLargeBytes / 4 || !os::install_guard(start_of(*span), bytes)) {
    pages::purge_range(span->base, bytes);
    return pages::destroy_span(span);
  }
  Span* pushed_out[2] = {};
  {
    os::Locked locked(large.lock);
    pushed_out[0] = std::exchange(large.waiting[large.random.below(kLargeWaiting)], span);
    large.bytes += bytes;
    if (pushed_out[0] != nullptr) large.bytes -= PageCount{pushed_out[0]->page_count}.bytes();
    // Too much: another one, if this draw finds one.
    Span*& other = large.waiting[large.random.below(kLargeWaiting)];
    if (large.bytes > kMostLargeBytes && other != nullptr) {
      large.bytes -= PageCount{other->page_count}.bytes();
      pushed_out[1] = std::exchange(other, nullptr);
    }
  }
  for (Span* out : pushed_out) release_large(out);
}

std::size_t quarantined_large_bytes() {
  const Visiting visiting(nullptr);
  os::Locked locked(large.lock);
  return large.bytes;
}

bool trim_secure() {
  const Visiting visiting(nullptr);
  bool any = empty_large_quarantine();
  SecureBins* bins = secure_bins.load(std::memory_order_acquire);
  for (std::uint32_t b = kFirstBin; bins != nullptr && b < kBins; ++b) any |= empty_bin(bins->of[b], static_cast<BinIndex>(b));
  return any;
}

}  // namespace lull::front

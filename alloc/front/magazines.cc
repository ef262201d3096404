#include "alloc/front/magazines.h"

#include <algorithm>
#include <array>
#include <utility>

#include "alloc/front/block_arrays.h"
#include "alloc/pages/memory_limit.h"

namespace lull::front {
namespace {

// The first magazine: larger ones cost memory in threads that allocate little, smaller ones more visits until they have grown.
constexpr std::size_t kFirstBytes = 1024;
constexpr std::uint32_t kFirstBlocks = 8;
// Enough to pay for a visit to the central store: a thread that only allocates or only frees gets no more.
constexpr std::size_t kPlainBytes = 8 * 1024;
constexpr std::uint32_t kPlainBlocks = 64;
// For a thread whose arrays run full and empty in turns.
constexpr std::size_t kLongBytes = 128 * 1024;
constexpr std::uint32_t kLongBlocks = kLongestArray / 2 - 1;
constexpr std::uint32_t kFewestBlocks = 2;
constexpr std::uint32_t kMostFetched = 4;  // plain magazines at once, into a long array; more: blocks that leave the cache before they are used
// All arrays of a thread, full. Keeps them from becoming long; every size may have its plain ones, whatever the others have, or the sizes
// that a thread turns to last would visit the central store for every few blocks.
constexpr std::size_t kMostPerThread = std::size_t{2} << 20;
// Of these, arrays of blocks of more than 1 KiB. A visit costs such a block little beside its first touch, and a program that goes from one of
// these sizes to the next, as vectors do that grow, would leave a long array behind in each.
constexpr std::size_t kMostOfLarge = kMostPerThread / 8, kLargeBytes = 1024;
constexpr bool is_large(std::uint32_t b) { return bytes_of_bin(b) > kLargeBytes; }

struct MagazineLimits { std::uint16_t first, plain, longest; };
constexpr auto kLimits = [] {
  std::array<MagazineLimits, kBins> limits{};
  for (std::uint32_t b = kFirstBin; b < kBins; ++b) {
    const auto within = [&](std::size_t bytes, std::uint32_t blocks) {
      return static_cast<std::uint16_t>(std::clamp(static_cast<std::uint32_t>(bytes / bytes_of_bin(b)), kFewestBlocks, blocks));
    };
    limits[b] = {within(kFirstBytes, kFirstBlocks), within(kPlainBytes, kPlainBlocks), within(kLongBytes, kLongBlocks)};
  }
  return limits;
}();

bool may_be_long(const ThreadBins& t, BinIndex b, std::size_t more) {
  return t.capacity_bytes + more <= kMostPerThread && (!is_large(b) || t.capacity_large + more <= kMostOfLarge);
}

// Makes the bin's array longer; nothing happens when memory runs out.
void lengthen(ThreadBins& t, BinIndex b, std::uint32_t capacity) {
  Bin& bin = t.bins[b];
  BinReserve& r = t.reserve[b];
  const std::uint32_t count = r.capacity == 0 ? 0 : count_of(t, b);
  if (capacity > r.room) {
    std::uint32_t room;
    Block** longer = take_block_array(capacity, room);
    if (longer == nullptr) return;
    std::copy_n(r.blocks, count, longer);
    give_block_array(std::exchange(r.blocks, longer), r.room);
    r.room = static_cast<std::uint16_t>(room);
  }
  count_capacity(t, b, capacity);
  bin.limit = static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(r.blocks + capacity));
  bin.inverse = inverse_of_bin(b);
  set_count(t, b, count);
}

void grow_magazine(ThreadBins& t, BinIndex b, Visit visit) {
  BinReserve& r = t.reserve[b];
  const bool turned = r.last_visit != Visit::none && r.last_visit != visit;
  r.last_visit = visit;
  const std::uint32_t magazine = r.capacity / 2;
  const std::uint32_t most = turned ? kLimits[b].longest : kLimits[b].plain;
  if (magazine >= most || (magazine != 0 && pages::memory_is_short())) return;
  const std::uint32_t wanted = std::min(magazine == 0 ? kLimits[b].first : magazine * 2, most);
  const std::size_t more = (wanted - magazine) * bytes_of_bin(b) * 2;
  if (wanted <= kLimits[b].plain || may_be_long(t, b, more)) lengthen(t, b, wanted * 2);
}

}  // namespace

void count_capacity(ThreadBins& t, std::uint32_t b, std::uint32_t capacity) {
  const std::size_t change = (std::size_t{capacity} - t.reserve[b].capacity) * bytes_of_bin(b);  // mod 2^64
  t.capacity_bytes += change;
  if (is_large(b)) t.capacity_large += change;
  t.reserve[b].capacity = static_cast<std::uint16_t>(capacity);
}

bool refill(ThreadBins& t, BinIndex b) {
  grow_magazine(t, b, Visit::took);
  if (++t.strangers.magazines % kLookAway == 0) t.foreign = foreign_to(t.mark);
  if (is_marked(b)) receive_strangers(t);
  if (!is_empty(t.bins[b])) return true;
  BinReserve& r = t.reserve[b];
  const std::uint32_t wanted = std::min<std::uint32_t>(r.capacity / 2u, kMostFetched * kLimits[b].plain);
  std::uint32_t have = 0;
  // Spans with few free blocks are worth another look, but not for ever.
  for (int spans = 0; have < wanted / 2 + 1 && spans < 4 && r.capacity != 0; ++spans) {
    if (r.held != nullptr) {
      have += take_blocks(*r.held, wanted - have, r.blocks + have);
      if (drop_if_exhausted(r.held)) r.held = nullptr;
      continue;
    }
    const std::uint32_t taken = take_first_blocks(b, wanted - have, r.blocks + have, {is_marked(b) ? t.mark : 0, t.home}, r.held);
    if (taken == 0) break;
    have += taken;
  }
  // A thread that takes no more does not keep a span to itself: others fill its pages, unless neighbours would share lines.
  if (r.held != nullptr && !share_lines(b) && r.capacity / 2u <= kLimits[b].first)
    release_held_span(b, std::exchange(r.held, nullptr));
  if (have != 0) set_count(t, b, have);
  return have != 0;
}

namespace {

// A thread that frees much of one size and then of the next would leave two magazines in each. Spans miss these blocks, so they cannot serve
// the next size, and when the thread comes back to the size they have left its cache.
void leave_last_given(ThreadBins& t, BinIndex b) {
  if (t.last_given == b) return;
  const std::uint32_t last = std::exchange(t.last_given, b);
  BinReserve& r = t.reserve[last];
  if (r.last_visit != Visit::gave || r.capacity == 0) return;
  give_blocks(r.blocks, count_of(t, last));
  set_count(t, last, 0);
}

}  // namespace

bool make_room(ThreadBins& t, BinIndex b) {
  BinReserve& r = t.reserve[b];
  grow_magazine(t, b, r.capacity == 0 ? Visit::none : Visit::gave);
  if (has_room(t.bins[b]) || r.capacity == 0) return false;
  leave_last_given(t, b);
  // A thread that frees does not keep a span to itself either: it may become wholly free, for another size.
  if (r.held != nullptr && !share_lines(b)) release_held_span(b, std::exchange(r.held, nullptr));
  const std::uint32_t count = count_of(t, b), older = count / 2;
  give_blocks(r.blocks, older);
  std::copy(r.blocks + older, r.blocks + count, r.blocks);
  set_count(t, b, count - older);
  return true;
}

}  // namespace lull::front

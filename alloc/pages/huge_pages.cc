#include "alloc/pages/huge_pages.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "alloc/os/clock.h"
#include "alloc/os/environment.h"
#include "alloc/os/huge_pages.h"
#include "alloc/os/vm.h"
#include "alloc/pages/memory_limit.h"
#include "alloc/pages/page_heap.h"
#include "alloc/pages/reservation.h"

namespace lull::pages {
namespace {

constexpr std::uint64_t kMostNsPerTick = 5'000'000;  // and one chunk beyond it
constexpr unsigned kModeTicks = 100;                 // the administrator may change the mode

constexpr std::size_t kChunkBytes = PageCount{PageHeap::kChunkPages}.bytes();

enum class Wish : std::uint8_t { unread, no, yes };
constinit std::atomic<Wish> wish{Wish::unread};

// The purger's thread only.
bool is_allowed() {
  constinit static unsigned asked = 0;
  constinit static bool allowed = false;
  if (asked++ % kModeTicks == 0) {
    const os::HugePageMode mode = os::huge_page_mode();
    allowed = (mode == os::HugePageMode::madvise || mode == os::HugePageMode::always) && os::can_collapse(kChunkBytes);
  }
  return allowed;
}

// Whether fresh chunks are filled: asked once, since it decides a flag of the heap's mapping.
enum class Filling : std::uint8_t { unasked, no, yes };
constinit std::atomic<Filling> filling{Filling::unasked};
constinit std::atomic<bool> forbidden{false};         // the kernel gives the range no huge pages by itself; never unset
// Fresh chunks to leave alone after one for which there was no huge page, or only a slow one: twice as many each time, until one is quick.
constinit std::atomic<std::uint32_t> left_alone{0}, next_left_alone{0};
constexpr std::uint32_t kFewestLeftAlone = 2, kMostLeftAlone = 256;
// What the page faults take that are saved. In a virtual machine that gives free memory back its host has to find it again, which is several times as long.
constexpr std::uint64_t kSlowFillNs = 1'000'000;
constinit std::atomic<std::uint64_t> slow_fill_ns{kSlowFillNs};

bool make_huge(PageIndex chunk) {
  auto* at = reinterpret_cast<void*>(address_of(chunk));
  if (os::missing_pages(at, kChunkBytes) != 0) return false;
  return forbidden.load(std::memory_order_relaxed) ? os::collapse_forbidden(at, kChunkBytes) : os::collapse(at, kChunkBytes);
}

// Mode "always": the kernel does it.
bool fills_fresh_chunks() {
  if (Filling now = filling.load(std::memory_order_relaxed); now != Filling::unasked) return now == Filling::yes;
  const bool can = huge_pages_wanted() && !reservation.on_demand && os::huge_page_mode() == os::HugePageMode::madvise && os::can_collapse(kChunkBytes) &&
                   os::forbid_huge_pages(reinterpret_cast<void*>(reservation.base), reservation.size);
  if (can) forbidden.store(true, std::memory_order_relaxed);
  Filling expected = Filling::unasked;  // leave_fresh_chunks() may have come between
  filling.compare_exchange_strong(expected, can ? Filling::yes : Filling::no, std::memory_order_relaxed);
  return filling.load(std::memory_order_relaxed) == Filling::yes;
}

}  // namespace

void set_huge_pages(bool wanted) { wish.store(wanted ? Wish::yes : Wish::no, std::memory_order_relaxed); }

bool huge_pages_wanted() {
  if (wish.load(std::memory_order_relaxed) == Wish::unread) {
    const char* text = os::environment_variable("LULL_HUGE_PAGES");
    Wish expected = Wish::unread;  // set_huge_pages() goes before the environment
    wish.compare_exchange_strong(expected, text != nullptr && std::strcmp(text, "0") == 0 ? Wish::no : Wish::yes,
                                 std::memory_order_relaxed);
  }
  return wish.load(std::memory_order_relaxed) == Wish::yes;
}

void leave_fresh_chunks() { filling.store(Filling::no, std::memory_order_relaxed); }

void note_fill(bool done, std::uint64_t took_ns) {
  const bool quick = done && took_ns < slow_fill_ns.load(std::memory_order_relaxed);
  const std::uint32_t many = quick ? 0 : std::clamp(next_left_alone.load(std::memory_order_relaxed), kFewestLeftAlone, kMostLeftAlone);
  next_left_alone.store(many * 2, std::memory_order_relaxed);
  left_alone.store(many, std::memory_order_relaxed);
}
void never_slow_for_testing() { slow_fill_ns.store(~std::uint64_t{0}, std::memory_order_relaxed); }
std::uint32_t fresh_chunks_left_alone() { return left_alone.load(std::memory_order_relaxed); }

// Others may have taken pages of the chunk meanwhile and touched them: then the kernel gives small pages, and the chunk is not filled.
void fill_fresh_chunk(PageIndex page) {
  if (memory_is_short() || !fills_fresh_chunks()) return;
  if (std::uint32_t left = left_alone.load(std::memory_order_relaxed); left != 0) {
    left_alone.compare_exchange_strong(left, left - 1, std::memory_order_relaxed);
    return;
  }
  const PageIndex chunk{page.value / PageHeap::kChunkPages * PageHeap::kChunkPages};
  PageHeap::MakingHuge making(chunk);
  const std::uint64_t begin = os::monotonic_ns();
  const bool done = os::touch_huge(reinterpret_cast<void*>(address_of(chunk)), kChunkBytes);
  note_fill(done, os::monotonic_ns() - begin);
  if (done) making.note_filled();
}

// Chunks may change hands while the system copies them. Then a chunk is huge that is no longer full: its free pages are purged
// like any others.
bool make_dense_chunks_huge() {
  if (!huge_pages_wanted() || memory_is_short()) return false;
  const std::uint64_t begin = os::monotonic_ns();
  bool more = false;
  for (PageIndex at{0};; at = at + PageCount{PageHeap::kChunkPages}) {
    const PageHeap::Dense next = page_heap.find_dense(at);
    more |= next.others_wait;
    if (!next.found) return more;
    if (!is_allowed()) return false;
    at = next.first;
    PageHeap::MakingHuge making(at);
    making.note_collapsed(make_huge(at));
    if (os::monotonic_ns() - begin >= kMostNsPerTick) return true;
  }
}

bool purge_range(std::uintptr_t at, std::size_t bytes) {
  const std::uintptr_t end = at + bytes;
  for (std::uintptr_t from = at; from < end;) {
    const std::uintptr_t chunk = reservation.base + (from - reservation.base) / kChunkBytes * kChunkBytes;
    const std::uintptr_t to = std::min(end, chunk + kChunkBytes);
    const bool was_huge = page_heap.forget_huge(page_of(from));
    if (was_huge && to - from < kChunkBytes) os::split_huge_page(reinterpret_cast<void*>(from));
    from = to;
  }
  return os::purge(reinterpret_cast<void*>(at), bytes);
}

}  // namespace lull::pages

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

bool make_huge(PageIndex chunk) {
  auto* at = reinterpret_cast<void*>(address_of(chunk));
  return os::missing_pages(at, kChunkBytes) == 0 && os::collapse(at, kChunkBytes);
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
    page_heap.note_collapsed(at, make_huge(at));
    if (os::monotonic_ns() - begin >= kMostNsPerTick) return true;
  }
}

void purge_range(std::uintptr_t at, std::size_t bytes) {
  const std::uintptr_t end = at + bytes;
  for (std::uintptr_t from = at; from < end;) {
    const std::uintptr_t chunk = reservation.base + (from - reservation.base) / kChunkBytes * kChunkBytes;
    const std::uintptr_t to = std::min(end, chunk + kChunkBytes);
    const bool was_huge = page_heap.forget_huge(page_of(from));
    if (was_huge && to - from < kChunkBytes) os::split_huge_page(reinterpret_cast<void*>(from));
    from = to;
  }
  os::purge(reinterpret_cast<void*>(at), bytes);
}

}  // namespace lull::pages

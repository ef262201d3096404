#include "alloc/pages/reservation.h"

#include <algorithm>
#include <bit>

#include "alloc/base/check.h"
#include "alloc/os/checker.h"
#include "alloc/os/lock.h"
#include "alloc/os/random.h"
#include "alloc/os/vm.h"

namespace lull {
namespace detail {
constinit HeapRange heap_range;
}

namespace pages {

constinit Reservation reservation;

namespace {

constexpr std::size_t kLargestRange = std::size_t{1} << 42;   // 4 TiB: page numbers and cells stay within 32 bits
constexpr std::size_t kSmallestRange = std::size_t{1} << 26;  // 64 MiB: less runs nothing useful
constexpr std::size_t kUsualMinimum = std::size_t{1} << 36;   // 64 GiB even on small machines: address space is free
constexpr std::size_t kAlignment = std::size_t{1} << 21;      // a huge page
// One part in so many of the range's size must be left for thread stacks and everybody else: fewer makes the heap smaller
// under `ulimit -v`, more lets it take the address space that the collector's own threads need.
constexpr std::size_t kPartLeft = 8;
// Of the limit, where the range is mapped on demand.
constexpr std::size_t kPartLeftOnDemand = 32;
constexpr std::size_t kOnDemandUnit = std::size_t{16} << 20;  // tables of such a range begin at pages of the system
constexpr std::uintptr_t kQuietBegin = std::uintptr_t{1} << 44;  // programs lie at 1 << 46 and up, and so do libraries and stacks
constexpr std::uint32_t kQuietPlaces = 1 << 20;                  // 2 TiB

// Of the tables in one go: more is charged to small programs, less are more system calls.
constexpr std::uint32_t kPagesAtOnce = (std::uint32_t{64} << 20) >> kPageShift;  // 176 KiB of tables
constexpr std::size_t kCellBytesAtOnce = 256 * 1024;

constinit std::uint32_t writable_pages = 0;     // the page heap's lock
constinit std::uint32_t mapped_pages = 0;       // on demand; the page heap's lock
constinit std::size_t writable_cell_bytes = 0;  // the descriptors' lock
constinit os::Lock reserve_lock{os::LockRank::metadata};

bool has_room_for(std::size_t bytes) {
  void* probe = os::reserve(bytes, kPageSize);
  if (probe != nullptr) os::unmap(probe, bytes);
  return probe != nullptr;
}

struct Tables {
  std::byte* at = nullptr;
  std::size_t size, cells;  // bytes: of the range, of descriptors
  std::size_t pages() const { return size >> kPageShift; }
  std::size_t cards() const { return size >> detail::kCardShift; }
  std::size_t bytes() const { return pages() * (sizeof(PageClass) + sizeof(std::uint32_t)) + cards() + cells; }
};

// Between two pages that nobody can write to.
bool map_tables(Tables& t) {
  t.at = static_cast<std::byte*>(os::map_readable(t.bytes() + 2 * kPageSize));
  if (t.at != nullptr) t.at += kPageSize;
  return t.at != nullptr;
}
void unmap_tables(const Tables& t) { os::unmap(t.at - kPageSize, t.bytes() + 2 * kPageSize); }

void publish(std::uintptr_t base, const Tables& t) {
  reservation.owners = reinterpret_cast<std::atomic<std::uint32_t>*>(t.at);
  reservation.classes = reinterpret_cast<std::atomic<PageClass>*>(t.at + t.pages() * 4);
  auto* cards = reinterpret_cast<std::uint8_t*>(t.at + t.pages() * 6);
  reservation.span_cells = t.at + t.pages() * 6 + t.cards();
  reservation.span_cells_bytes = t.cells;
  reservation.base = base;
  reservation.size = t.size;
  // Threads that store a null ptr before the heap exists read this meanwhile: the size comes last (detail::dirty_card).
  __atomic_store_n(&detail::heap_range.cards, cards, __ATOMIC_RELAXED);
  __atomic_store_n(&detail::heap_range.base, base, __ATOMIC_RELAXED);
  __atomic_store_n(&detail::heap_range.size, t.size, __ATOMIC_RELEASE);
}

// Heap and tables, or neither. The smallest range is taken even when nothing is left.
bool try_reserve(std::size_t size) {
  Tables tables{.size = size, .cells = size / 16};  // the smallest span is 8 KiB and its descriptor at most 448 bytes
  void* heap = os::reserve(size, kAlignment);
  if (heap == nullptr) return false;
  const bool has_tables = map_tables(tables);
  if (has_tables && (size == kSmallestRange || has_room_for(size / kPartLeft))) {
    publish(reinterpret_cast<std::uintptr_t>(heap), tables);
    return true;
  }
  if (has_tables) unmap_tables(tables);
  os::unmap(heap, size);
  return false;
}

// A place for a range between what the system fills from below and from above, where nothing is now; 0: there is none. At random:
// addresses of the heap are not to be foreseen here either.
std::uintptr_t find_quiet_place(std::size_t size) {
  os::RandomNumbers random;
  for (int attempt = 0; attempt < 16; ++attempt) {
    const std::uintptr_t at = kQuietBegin + random.below(kQuietPlaces) * kAlignment;
    bool is_free = true;
    for (const std::uintptr_t probe : {at, at + size / 2 / kAlignment * kAlignment, at + size - kAlignment}) {
      auto* piece = reinterpret_cast<void*>(probe);
      is_free = is_free && os::map_at(piece, kPageSize);
      if (is_free) os::unmap(piece, kPageSize);
    }
    if (is_free) return at;
  }
  return 0;
}

bool try_on_demand(std::size_t limit) {
  const std::size_t size = std::min(limit, kLargestRange) / kOnDemandUnit * kOnDemandUnit;
  if (size == 0) return false;
  // The largest descriptors of malloc take one part in 51; of a heap of managed 16-byte objects, one in 37.
  Tables tables{.size = size, .cells = size / 32};
  const std::uintptr_t base = find_quiet_place(size);
  if (base == 0 || !map_tables(tables)) return false;
  reservation.on_demand = true;
  publish(base, tables);
  return true;
}

}  // namespace

bool reserve_heap() {
  os::Locked locked(reserve_lock);
  if (reservation.size != 0) return true;
  const std::size_t wanted = std::max(kUsualMinimum, std::bit_ceil(os::physical_memory() * 8));
  const std::size_t limit = os::address_space_limit();
  if (limit / 2 < wanted && try_on_demand(limit)) return true;
  for (std::size_t size = std::min(wanted, kLargestRange); size >= kSmallestRange; size /= 2)
    if (try_reserve(size)) return true;
  return false;
}

static bool make_usable(PageIndex first, PageCount n) {
  if (!reservation.on_demand) return os::commit(reinterpret_cast<void*>(address_of(first)), n.bytes());
  const PageIndex end = first + n;
  if (end.value <= mapped_pages) return true;  // by an attempt that failed later on
  const std::size_t bytes = PageCount{end.value - mapped_pages}.bytes();
  if (!has_room_for(bytes + reservation.size / kPartLeftOnDemand)) return false;
  if (!os::map_at(reinterpret_cast<void*>(address_of({mapped_pages})), bytes)) return false;
  mapped_pages = end.value;
  return true;
}

bool commit_heap(PageIndex first, PageCount n) {
  if (!make_usable(first, n)) return false;
  os::tell_leak_checker(address_of(first), n.bytes());
  return true;
}

// All or nothing counts; what was made writable before a failure stays so.
bool commit_tables(PageIndex end) {
  if (end.value <= writable_pages) return true;
  const std::size_t wanted = std::min(round_up(end.value, kPagesAtOnce), reservation.size >> kPageShift), from = writable_pages;
  const auto commit = [&](void* table, std::size_t bytes_a_page) {
    return os::commit(static_cast<std::byte*>(table) + from * bytes_a_page, (wanted - from) * bytes_a_page);
  };
  if (!commit(reservation.owners, sizeof(std::uint32_t)) || !commit(reservation.classes, sizeof(PageClass)) ||
      !commit(detail::heap_range.cards, kPageSize >> detail::kCardShift))
    return false;
  writable_pages = static_cast<std::uint32_t>(wanted);
  return true;
}

bool commit_span_cells(std::size_t bytes) {
  if (bytes <= writable_cell_bytes) return true;
  if (bytes > reservation.span_cells_bytes) return false;
  const std::size_t wanted = std::min(round_up(bytes, kCellBytesAtOnce), reservation.span_cells_bytes);
  if (!os::commit(reservation.span_cells + writable_cell_bytes, wanted - writable_cell_bytes)) return false;
  writable_cell_bytes = wanted;
  return true;
}

os::Lock& reserve_lock_for_fork() { return reserve_lock; }

}  // namespace pages
}  // namespace lull

#include "alloc/pages/reservation.h"

#include <algorithm>
#include <bit>

#include "alloc/base/check.h"
#include "alloc/os/lock.h"
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

// Of the tables in one go: more is charged to small programs, less are more system calls.
constexpr std::uint32_t kPagesAtOnce = (std::uint32_t{64} << 20) >> kPageShift;  // 176 KiB of tables
constexpr std::size_t kCellBytesAtOnce = 256 * 1024;

constinit std::uint32_t writable_pages = 0;     // the page heap's lock
constinit std::size_t writable_cell_bytes = 0;  // the descriptors' lock
constinit os::Lock reserve_lock{os::LockRank::metadata};

bool has_room_for(std::size_t bytes) {
  void* probe = os::reserve(bytes, kPageSize);
  if (probe != nullptr) os::unmap(probe, bytes);
  return probe != nullptr;
}

// Heap and tables, or neither. The smallest range is taken even when nothing is left.
bool try_reserve(std::size_t size) {
  const std::size_t page_count = size >> kPageShift;
  const std::size_t cells = size / 16;  // the smallest span is 8 KiB and its descriptor at most 448 bytes
  const std::size_t cards = size >> detail::kCardShift;
  void* heap = os::reserve(size, kAlignment);
  if (heap == nullptr) return false;
  const std::size_t tables = page_count * (sizeof(PageClass) + sizeof(std::uint32_t)) + cards + cells;
  auto* table = static_cast<std::byte*>(os::map_readable(tables));
  const bool fits = table != nullptr && (size == kSmallestRange || has_room_for(size / kPartLeft));
  if (!fits) {
    if (table != nullptr) os::unmap(table, tables);
    os::unmap(heap, size);
    return false;
  }
  reservation.owners = reinterpret_cast<std::atomic<std::uint32_t>*>(table);
  reservation.classes = reinterpret_cast<std::atomic<PageClass>*>(table + page_count * 4);
  auto* card_table = reinterpret_cast<std::uint8_t*>(table + page_count * 6);
  reservation.span_cells = table + page_count * 6 + cards;
  reservation.span_cells_bytes = cells;
  reservation.base = reinterpret_cast<std::uintptr_t>(heap);
  reservation.size = size;
  // Threads that store a null ptr before the heap exists read this meanwhile: the size comes last (detail::dirty_card).
  __atomic_store_n(&detail::heap_range.cards, card_table, __ATOMIC_RELAXED);
  __atomic_store_n(&detail::heap_range.base, reservation.base, __ATOMIC_RELAXED);
  __atomic_store_n(&detail::heap_range.size, size, __ATOMIC_RELEASE);
  return true;
}

}  // namespace

bool reserve_heap() {
  os::Locked locked(reserve_lock);
  if (reservation.size != 0) return true;
  const std::size_t wanted = std::max(kUsualMinimum, std::bit_ceil(os::physical_memory() * 8));
  for (std::size_t size = std::min(wanted, kLargestRange); size >= kSmallestRange; size /= 2)
    if (try_reserve(size)) return true;
  return false;
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

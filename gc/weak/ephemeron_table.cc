// The table of an ephemeron_map, an ordinary user of managed memory. The collector touches its cells only: it empties those
// whose key is white. A cell is never used for another key, since the collector may still have it on a list with the old one.
#include <bit>

#include "alloc/base/check.h"
#include "lull/detail/ephemeron.h"
#include "lull/make.h"
#include "lull/weak_ptr.h"

namespace lull::detail {
namespace {

constexpr std::size_t kSmallest = 8;  // slots
constexpr Word kErased = 1;           // value of a cell that remove() has left; one that the collector emptied has 0

std::size_t first_place(Word key, std::size_t slots) {
  return static_cast<std::size_t>((key >> 3) * 0x9e3779b97f4a7c15u >> (64 - std::countr_zero(slots)));
}

// Both stores are full ones. The key's too: it shades a key that the thread may drop before it is scanned, when the cell
// has been scanned already, and it dirties the card that brings the cell to the next young cycle if the key is young then.
ptr<EphemeronCell> make_cell(Word key, Word value) {
  auto* cell = static_cast<EphemeronCell*>(allocate_object(KindOf<EphemeronCell>::object, slot_bytes_for<EphemeronCell>()));
  store_word(&cell->value, value);
  store_word(&cell->key, key);
  asm volatile("" ::"r"(key), "r"(value) : "memory");
  return ptr<EphemeronCell>(cell);
}

// The first slot on the key's way that is null or holds a dead cell.
ptr<EphemeronCell>& free_place(const EphemeronTable::Slots& slots, Word key) {
  const std::size_t mask = slots.size() - 1;
  for (std::size_t i = first_place(key, mask + 1);; i = (i + 1) & mask)
    if (!slots[i] || slots[i]->load_key() == 0) return slots[i];
}

}  // namespace

EphemeronCell* EphemeronTable::find(Word key) const noexcept {
  if (!slots_ || key == 0) return nullptr;
  const ptr<EphemeronCell>* slots = slots_.get();
  const std::size_t mask = slots_.size() - 1;
  for (std::size_t i = first_place(key, mask + 1);; i = (i + 1) & mask) {
    EphemeronCell* cell = slots[i].get();
    if (cell == nullptr || cell->load_key() == key) return cell;
  }
}

EphemeronCell* EphemeronTable::add(Word key, Word value) {
  if (key == 0) fatal("lull::ephemeron_map: a null key");
  make_room();
  const ptr<EphemeronCell> cell = make_cell(key, value);
  ptr<EphemeronCell>& place = free_place(slots_, key);
  const bool died_unnoticed = place && load_word(&place->value) != kErased;  // counted still
  used_ += place ? 0 : 1;
  entries_ += died_unnoticed ? 0 : 1;
  place = cell;
  return cell.get();
}

void EphemeronTable::remove(EphemeronCell& cell) noexcept {
  store_word(&cell.value, kErased);
  __atomic_store_n(&cell.key, Word{0}, __ATOMIC_RELEASE);
  --entries_;
}

void EphemeronTable::clear() noexcept {
  slots_.reset();
  used_ = entries_ = 0;
}

// At most three quarters are not null. A rebuilt table is at most half full, so that rebuilding is paid for by insertions.
void EphemeronTable::make_room() {
  if (slots_ && (used_ + 1) * 4 <= slots_.size() * 3) return;
  std::size_t live = 0;
  for (const ptr<EphemeronCell>& cell : slots_) live += cell && cell->load_key() != 0;
  const Slots fresh = make_array<ptr<EphemeronCell>>(std::max(kSmallest, std::bit_ceil((live + 1) * 2)));
  std::size_t moved = 0;
  for (const ptr<EphemeronCell>& cell : slots_) {
    const Word key = cell ? cell->load_key() : 0;
    if (key == 0) continue;
    const std::size_t mask = fresh.size() - 1;
    std::size_t i = first_place(key, mask + 1);
    while (fresh[i]) i = (i + 1) & mask;
    fresh[i] = cell;
    ++moved;
  }
  slots_ = fresh;
  used_ = entries_ = moved;
}

Word lock_key(const EphemeronCell* cell) noexcept { return lock_weak_cell(reinterpret_cast<const WeakCell*>(&cell->key)); }

}  // namespace lull::detail

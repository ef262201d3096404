// The untyped half of lull::ephemeron_map: a hash table with open addressing of ephemeron cells.
#pragma once

#include <cstddef>

#include "lull/detail/kind.h"
#include "lull/ptr.h"

namespace lull::detail {

// Managed, 16 bytes. The marker takes the value for reachable once the cell and the key are; when the key is not, the
// collector stores 0 to both. The key is set once, before the cell is published; a cell without key is dead for good.
struct EphemeronCell {
  Word key;    // not traced
  Word value;

  Word load_key() const noexcept { return __atomic_load_n(&key, __ATOMIC_ACQUIRE); }
  void trace(tracer& t) const { t.visit_ephemeron(&key, &value); }
};

// The key of a cell, held from now on; 0 when it is about to go. As weak_ptr::lock.
Word lock_key(const EphemeronCell* cell) noexcept;

class EphemeronTable {
 public:
  using Slots = ptr<ptr<EphemeronCell>[]>;

  EphemeronCell* find(Word key) const noexcept;  // nullptr: not there
  EphemeronCell* add(Word key, Word value);      // not there yet; std::bad_alloc, and nothing has changed then
  static void assign(EphemeronCell& cell, Word value) noexcept { store_word(&cell.value, value); }
  void remove(EphemeronCell& cell) noexcept;
  void clear() noexcept;
  std::size_t entries() const noexcept { return entries_; }  // dead ones that nobody has noticed among them
  const Slots& slots() const noexcept { return slots_; }
  void trace(tracer& t) const { t(slots_); }

 private:
  void make_room();

  Slots slots_;             // a power of two, or none
  std::size_t used_ = 0;    // slots that are not null
  std::size_t entries_ = 0;
};

}  // namespace lull::detail

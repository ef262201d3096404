// The remembered set of young cycles: dirty cards (Wilson and Moher 1989; Hosking, Moss, Stefanovic 1992).
//
// Every pointer store into the heap dirties the card of its slot (include/lull/detail/barrier.h). An old object can refer
// to a young one only through a slot on a dirty card, so a young cycle scans the old objects on dirty cards and no others.
// Cards are cleaned in one window, after every mutator has answered handshake 1 and before handshake 2 is asked (rule 13),
// and read after handshake 2. Then nothing has to be dirtied again: what stays young is born after its thread's
// handshake 2, and whoever stores a pointer to it does so later still. Stores that race with the cleaning may lose their
// card: their targets are candidates of this cycle, found by the barriers or on a stack.
#pragma once

#include <cstddef>
#include <cstdint>

#include "gc/mark/marker.h"

namespace lull::gc {

class DirtyCards {
 public:
  // Driver, in the window: lists the dirty cards and cleans them; a full cycle only cleans, since it meets every old object
  // anyway. Without memory for the list the cycle is aborted.
  void take(CycleKind kind);
  // Driver, after handshake 2: scans those parts of marked objects that lie on listed cards, and the root cells on them.
  void scan(Marker& marker);

  std::uint64_t listed_cards() const { return listed_cards_; }

 private:
  struct DirtyPage {
    std::uint32_t page;
    std::uint32_t cards;  // a bit each
  };
  bool make_room(std::size_t pages);

  DirtyPage* list_ = nullptr;
  std::size_t capacity_ = 0, count_ = 0;
  std::uint64_t listed_cards_ = 0;  // by the last take()
};

extern DirtyCards dirty_cards;

// For checks.
bool is_card_dirty(std::uintptr_t slot);

}  // namespace lull::gc

// Spans of a few classes, found without walking the heap: a bit for each descriptor cell, in leaves that exist where a bit
// was ever set. A walk reads 32 KiB for every 16 MiB of descriptors, whatever the heap holds.
#pragma once

#include <atomic>
#include <bit>

#include "alloc/os/lock.h"
#include "alloc/pages/span.h"
#include "gc/model/kinds.h"

namespace lull::gc {

class SpanIndex {
 public:
  // By whoever creates the span, before anybody allocates in it. False when memory runs out.
  [[nodiscard]] bool add(const pages::Span& span);
  void remove(const pages::Span& span);
  bool contains(const pages::Span& span) const;

  // Calls visit(span) for each span that is here and, with `except`, not there. Spans may be added meanwhile; nobody
  // destroys one.
  template <class Visit>
  void for_each(Visit&& visit, const SpanIndex* except = nullptr) const {
    // acquire: pairs with add(), as the leaf itself does
    const std::uint32_t end = leaves_end_.load(std::memory_order_acquire);
    for (std::uint32_t l = 0; l < end; ++l) {
      const Leaf* leaf = leaf_at(l);
      if (leaf == nullptr) continue;
      const Leaf* other = except == nullptr ? nullptr : except->leaf_at(l);
      for (std::uint32_t w = 0; w < kLeafWords; ++w) {
        // acquire: pairs with the release in add(): the descriptor is complete
        std::uint64_t bits = leaf->words[w].load(std::memory_order_acquire);
        if (bits != 0 && other != nullptr) bits &= ~other->words[w].load(std::memory_order_relaxed);
        for (; bits != 0; bits &= bits - 1)
          visit(*pages::span_with(static_cast<SpanId>(l * kLeafCells + w * 64 + static_cast<std::uint32_t>(std::countr_zero(bits)))));
      }
    }
  }

 private:
  static constexpr std::uint32_t kLeafCells = 1 << 18, kLeafWords = kLeafCells / 64;
  static constexpr std::uint32_t kLeaves = 1 << 14;  // as many as there can be cells: 32-bit numbers
  struct Leaf {
    BitWord words[kLeafWords] = {};
  };

  const Leaf* leaf_at(std::uint32_t l) const { return leaves_[l].load(std::memory_order_acquire); }  // acquire: pairs with add()
  BitWord* word_of(const pages::Span& span) const;

  std::atomic<Leaf*> leaves_[kLeaves] = {};
  std::atomic<std::uint32_t> leaves_end_{0};  // behind the last leaf: looking at all places for leaves takes 50 us
};

// Spans whose objects have destructors; spans of weak cells; and those of the latter in which no cell can have to be
// emptied before the next full cycle (gc/weak/weak_cells.cc).
extern SpanIndex destructor_spans, weak_cell_spans, settled_weak_spans;

// To be called for every managed span that is created, taken for allocation, or destroyed.
[[nodiscard]] bool index_created(const SpanClass& c, const pages::Span& span);
void index_taken(const SpanClass& c, const pages::Span& span);
void index_destroyed(const SpanClass& c, const pages::Span& span);
os::Lock& span_index_lock_for_fork();

}  // namespace lull::gc

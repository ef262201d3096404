#include "gc/model/span_index.h"

#include <new>

#include "alloc/os/meta_arena.h"

namespace lull::gc {

constinit SpanIndex destructor_spans, weak_cell_spans, settled_weak_spans;

namespace {
constinit os::Lock lock{os::LockRank::kinds};  // of making leaves
}

os::Lock& span_index_lock_for_fork() { return lock; }

BitWord* SpanIndex::word_of(const pages::Span& span) const {
  const auto cell = static_cast<std::uint32_t>(span.id());
  Leaf* leaf = leaves_[cell / kLeafCells].load(std::memory_order_acquire);  // acquire: pairs with add()
  return leaf == nullptr ? nullptr : &leaf->words[cell % kLeafCells / 64];
}

bool SpanIndex::add(const pages::Span& span) {
  const auto cell = static_cast<std::uint32_t>(span.id());
  BitWord* word = word_of(span);
  if (word == nullptr) {
    os::Locked locked(lock);
    const std::uint32_t l = cell / kLeafCells;
    std::atomic<Leaf*>& leaf = leaves_[l];
    if (leaf.load(std::memory_order_relaxed) == nullptr) {
      void* memory = os::allocate_meta(sizeof(Leaf));
      if (memory == nullptr) return false;
      leaf.store(new (memory) Leaf, std::memory_order_release);  // release: pairs with the loads
      if (l >= leaves_end_.load(std::memory_order_relaxed)) leaves_end_.store(l + 1, std::memory_order_release);  // as for the leaf
    }
    word = word_of(span);
  }
  // release: pairs with for_each(); acquire: with remove()
  word->fetch_or(bit_of(cell), std::memory_order_acq_rel);
  return true;
}

void SpanIndex::remove(const pages::Span& span) {
  BitWord* word = word_of(span);
  const std::uint64_t bit = bit_of(static_cast<std::uint32_t>(span.id()));
  // Without a look first: who finds the bit clear has still published what it wrote to whoever sets it next.
  if (word != nullptr) word->fetch_and(~bit, std::memory_order_acq_rel);
}

bool SpanIndex::contains(const pages::Span& span) const {
  const BitWord* word = word_of(span);
  return word != nullptr && (word->load(std::memory_order_relaxed) & bit_of(static_cast<std::uint32_t>(span.id()))) != 0;
}

namespace {
bool is_weak(const SpanClass& c) { return static_cast<const Kind*>(c.kind)->is_weak_cell; }
}  // namespace

bool index_created(const SpanClass& c, const pages::Span& span) {
  if (c.with_destroy_bits) return destructor_spans.add(span);
  return !is_weak(c) || weak_cell_spans.add(span);
}

void index_taken(const SpanClass& c, const pages::Span& span) {
  if (is_weak(c)) settled_weak_spans.remove(span);
}

void index_destroyed(const SpanClass& c, const pages::Span& span) {
  if (c.with_destroy_bits) return destructor_spans.remove(span);
  if (!is_weak(c)) return;
  weak_cell_spans.remove(span);
  settled_weak_spans.remove(span);
}

}  // namespace lull::gc

#include "gc/cycle/verifier.h"

#include <cstdio>

#include "alloc/base/check.h"
#include "alloc/os/vm.h"
#include "gc/model/colour.h"
#include "gc/model/kinds.h"
#include "gc/model/options.h"
#include "gc/mutator/frames.h"
#include "gc/mutator/handshake.h"
#include "gc/mutator/fibers.h"
#include "gc/mutator/roots.h"
#include "gc/remember/cards.h"
#include "gc/mark/trace_check.h"
#include "lull/tracer.h"

namespace lull::gc {
namespace {

constinit std::atomic<std::uint64_t> errors{0};

// Who led to an object: the index of its parent in the list of visited objects, or a root.
struct Visited {
  std::uintptr_t object;
  std::uint32_t parent;
};
constexpr std::uint32_t kRootCell = ~0u, kStack = ~0u - 1;

class Verifier : private tracer {
 public:
  Verifier() {
    next_ = words_;
    end_ = words_ + kWords;
    flush_ = [](tracer& t) { static_cast<Verifier&>(t).process(); };
    ephemeron_ = [](tracer& t, const std::uintptr_t* key, const std::uintptr_t* value) {
      static_cast<Verifier&>(t).meet_ephemeron(key, value);
    };
    seen_bytes_ = detail::heap_range.size / kGranule / 8;
    seen_ = static_cast<std::uint64_t*>(os::map(seen_bytes_));
    visited_ = static_cast<Visited*>(os::map(kMostObjects * sizeof(Visited)));
    LULL_CHECK(seen_ != nullptr && visited_ != nullptr, "verify: out of memory");
  }
  ~Verifier() {
    os::unmap(seen_, seen_bytes_);
    os::unmap(visited_, kMostObjects * sizeof(Visited));
  }

  void add_roots() {
    parent_ = kRootCell;
    for (RootChunk* chunk = first_root_chunk(); chunk != nullptr; chunk = chunk->next)
      for (std::uintptr_t& cell : chunk->cells) {
        meet(cell);
        check_root_card(cell);
      }
    call_root_functions(*this);
    process();
    parent_ = kStack;
    if (options.precise_roots != 0) return add_frames();
    for_each_mutator([&](Mutator& m) {
      m.words.clear();
      if (m.stack.contains(m.blocked_sp)) m.words.copy_range(m.blocked_sp, m.stack.high);
      if (m.current != &m.own) static_cast<void>(copy_parked(m.own, m));
      meet_guesses(m.words);
    });
    for_each_parked([&](WordBuffer& words) { meet_guesses(words); });
  }

  void meet_guesses(WordBuffer& words) {
    for (std::uintptr_t word : words)
      if (const ObjectRef o = resolve(word); o && is_allocated(o) && !is_white(o)) meet(word);
    words.clear();
  }

  // The words of each parked stack, in the buffer of whatever thread.
  template <class Visit>
  static void for_each_parked(Visit&& visit) {
    Mutator* const lender = mutators.first;
    if (lender == nullptr) return;
    for (std::uint32_t i = 0; i < fiber_stacks_end(); ++i) {
      const FiberStack& stack = fiber_stack_at(i);
      if (stack.state.load(std::memory_order_acquire) != StackState::parked) continue;
      lender->words.clear();
      LULL_CHECK(copy_parked(stack, *lender), "verify: out of memory");
      visit(lender->words);
    }
    lender->words.clear();
  }

  // Precise roots are no guesses: what they lead to has to be there.
  void add_frames() {
    for_each_mutator([&](Mutator& m) {
      m.words.clear();
      LULL_CHECK(copy_frames(m), "verify: out of memory");
      if (m.current != &m.own) LULL_CHECK(copy_parked(m.own, m), "verify: out of memory");
      for (std::uintptr_t word : m.words) meet(word);
      m.words.clear();
    });
    for_each_parked([&](WordBuffer& words) {
      for (std::uintptr_t word : words) meet(word);
    });
  }

  void walk() {
    for (std::uint32_t i = 0; i < count_; ++i) {
      parent_ = i;
      scan(visited_[i].object);
    }
  }

 private:
  static constexpr std::size_t kGranule = 16, kWords = 256, kMostObjects = std::size_t{1} << 31;

  static bool is_white(const ObjectRef& o) {
    return is_candidate(o, current_cycle.load(std::memory_order_relaxed)) &&
           !is_marked(o, mark_epoch.load(std::memory_order_relaxed));
  }

  // Alloc bits of the holes that threads are filling are not set yet, so for those the hole decides.
  static bool is_allocated(const ObjectRef& o) {
    if (o.span->alloc_bits()[o.slot / 64].load(std::memory_order_relaxed) & bit_of(o.slot)) return true;
    bool in_hole = false;
    for_each_mutator([&](Mutator& m) {
      m.cache.for_each_cached_span([&](Span& span, std::uint32_t first, std::uint32_t end) {
        in_hole |= &span == o.span && o.slot >= first && o.slot < end;
      });
    });
    return in_hole;
  }

  bool mark_seen(std::uintptr_t object) {
    const std::size_t index = (object - detail::heap_range.base) / kGranule;
    std::uint64_t& word = seen_[index / 64];
    if (word & bit_of(static_cast<std::uint32_t>(index))) return false;
    word |= bit_of(static_cast<std::uint32_t>(index));
    return true;
  }

  void meet(std::uintptr_t word) {
    const ObjectRef o = resolve(word);
    if (!o || !mark_seen(o.address())) return;
    if (is_white(o)) report(o);
    LULL_CHECK(count_ < kMostObjects, "verify: too many objects");
    visited_[count_++] = {o.address(), parent_};
  }

  // Of a marked key the value is marked, though the key may be so for nothing.
  void meet_ephemeron(const std::uintptr_t* key, const std::uintptr_t* value) {
    if (slots_seen_ != nullptr) {
      note_slot(key);
      return note_slot(value);
    }
    const std::uintptr_t word = __atomic_load_n(key, __ATOMIC_ACQUIRE);
    const ObjectRef o = resolve(word);
    if (word != 0 && !(o && is_white(o))) visit(value);
  }

  void process() {
    const std::uintptr_t* end = next_;
    next_ = words_;
    for (const std::uintptr_t* w = words_; w != end; ++w) meet(*w);
  }

  void scan(std::uintptr_t object) {
    const Span& span = *pages::managed_span_of(object);
    const Kind& kind = kind_of(span);
    if (kind.layout == detail::Layout::traced) {
      if (options.generational != 0) check_cards(kind, object, span);
      kind.trace(reinterpret_cast<const void*>(object), *this);
    } else if (kind.layout == detail::Layout::conservative) {
      for (std::uintptr_t at = object; at < object + span.slot_bytes; at += sizeof(std::uintptr_t))
        visit(reinterpret_cast<const std::uintptr_t*>(at));
    }
    process();
  }

  // What an old object refers to is old, or its slot lies on a dirty card.
  void check_cards(const Kind& kind, std::uintptr_t object, const Span& span) {
    if (!is_old(resolve(object))) return;
    constexpr std::size_t kPart = 4096;  // a log has room for its slots
    for (std::size_t from = 0; from < span.slot_bytes; from += kPart) {
      SlotLog log;
      slots_seen_ = &log;
      if (kind.trace_part == nullptr) kind.trace(reinterpret_cast<const void*>(object), *this);
      else kind.trace_part(reinterpret_cast<const void*>(object), from, from + kPart, *this);
      slots_seen_ = nullptr;
      next_ = words_;
      for (std::size_t i = 0; i < log.count; ++i) check_slot(object, log.slots[i]);
      if (kind.trace_part == nullptr) return;
    }
  }

  static bool is_forgotten(std::uintptr_t slot) {
    const ObjectRef o = resolve(*reinterpret_cast<const std::uintptr_t*>(slot));
    // What is on a stack may be on its way through a barrier that has stored the slot and not the card yet.
    return o && !is_old(o) && !is_white(o) && !is_card_dirty(slot) && !is_on_a_stack(o);
  }

  // The same of a root cell: what comes after the cycle's own end is looked at by the next one only if the card is dirty.
  void check_root_card(const std::uintptr_t& cell) {
    if (options.generational == 0 || !is_forgotten(reinterpret_cast<std::uintptr_t>(&cell))) return;
    errors.fetch_add(1, std::memory_order_relaxed);
    std::fprintf(stderr, "lull: verify: after cycle %u a root refers to a young object from a clean card\n",
                 current_cycle.load(std::memory_order_relaxed));
    describe("young:", resolve(cell).address());
    if (options.verify == 1) fatal("verify: root of a young object on a clean card");
  }

  void check_slot(std::uintptr_t object, std::uintptr_t slot) {
    if (!is_forgotten(slot)) return;
    const ObjectRef o = resolve(*reinterpret_cast<const std::uintptr_t*>(slot));
    errors.fetch_add(1, std::memory_order_relaxed);
    std::fprintf(stderr, "lull: verify: after cycle %u an old object refers to a young one from a clean card\n",
                 current_cycle.load(std::memory_order_relaxed));
    describe("old:", object);
    describe("young:", o.address());
    if (options.verify == 1) fatal("verify: old-to-young reference on a clean card");
  }

  static bool is_old(const ObjectRef& o) { return is_marked(o, mark_epoch.load(std::memory_order_relaxed)); }

  static bool is_on_a_stack(const ObjectRef& o) {
    bool found = false;
    for_each_mutator([&](Mutator& m) {
      m.words.clear();
      static_cast<void>(copy_frames(m));
      if (m.stack.contains(m.blocked_sp)) m.words.copy_range(m.blocked_sp, m.stack.high);
      m.words.copy_range(reinterpret_cast<std::uintptr_t>(m.saved), reinterpret_cast<std::uintptr_t>(m.saved + m.saved_count));
      if (m.current != &m.own) static_cast<void>(copy_parked(m.own, m));
      for (std::uintptr_t word : m.words) found |= word - o.address() < o.span->slot_bytes;
      m.words.clear();
    });
    return found;
  }

  void describe(const char* what, std::uintptr_t object) const {
    const std::string_view name = kind_of(*pages::managed_span_of(object)).name;
    std::fprintf(stderr, "lull: verify:   %s %.*s at %p\n", what, static_cast<int>(name.size()), name.data(),
                 reinterpret_cast<void*>(object));
  }

  void report(const ObjectRef& lost) const {
    errors.fetch_add(1, std::memory_order_relaxed);
    std::fprintf(stderr, "lull: verify: cycle %u would free a reachable object\n", current_cycle.load(std::memory_order_relaxed));
    describe("lost:", lost.address());
    std::uint32_t parent = parent_;
    for (int depth = 0; parent < kStack && depth < 32; ++depth) {
      describe("held by", visited_[parent].object);
      parent = visited_[parent].parent;
    }
    if (parent >= kStack) std::fprintf(stderr, "lull: verify:   held by %s\n", parent == kStack ? "a stack" : "a root");
    if (options.verify == 1) fatal("verify: reachable object not marked");
  }

  std::uintptr_t words_[kWords];
  std::uint64_t* seen_ = nullptr;
  std::size_t seen_bytes_ = 0;
  Visited* visited_ = nullptr;
  std::uint32_t count_ = 0, parent_ = kRootCell;
};

void verify_stopped() {
  Verifier verifier;
  verifier.add_roots();
  verifier.walk();
}

}  // namespace

void verify_marks() {
  if (mutators.world_stopped) return verify_stopped();
  WorldStopped stopped;
  verify_stopped();
}

std::uint64_t verifier_errors() { return errors.load(std::memory_order_relaxed); }

}  // namespace lull::gc

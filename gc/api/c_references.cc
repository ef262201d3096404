// lull/lull_c.h: weak references, ephemerons, finalizers.
#include <new>

#include "alloc/base/check.h"
#include "gc/api/c_kind.h"
#include "gc/model/colour.h"
#include "gc/model/kinds.h"
#include "gc/model/options.h"
#include "gc/mutator/allocation.h"
#include "gc/mutator/runtime_section.h"
#include "gc/mutator/services.h"
#include "lull/collect.h"
#include "lull/detail/ephemeron.h"
#include "lull/on_unreachable.h"
#include "lull/weak_ptr.h"

using namespace lull;

namespace {

detail::EphemeronTable& table_of(const lull_ephemerons* table) {
  return *reinterpret_cast<detail::EphemeronTable*>(const_cast<lull_ephemerons*>(table));
}
detail::Word word_of(const void* p) { return reinterpret_cast<detail::Word>(p); }
void* pointer_of(detail::Word w) { return reinterpret_cast<void*>(w); }

// C++ code that holds references in variables: with precise roots it runs in one piece, between two safepoints, in which
// allocation fails rather than collects. False: out of memory.
template <class Action>
bool run_whole(Action&& action) {
  constexpr int kTries = 3;
  for (int attempt = 0; attempt < kTries; ++attempt) {
    try {
      if (gc::options.precise_roots == 0) {
        action();
        return true;
      }
      gc::Mutator& m = gc::self();
      gc::poll(m);
      gc::RuntimeSection whole(m);
      action();
      return true;
    } catch (const std::bad_alloc&) {
      gc::collect_for_memory();
    }
  }
  return false;
}

struct CCallback {
  void (*run)(void* data);
  void* data;
  void operator()() { run(data); }
};

}  // namespace

extern "C" lull_weak* lull_weak_new(const void* object) {
  try {
    return reinterpret_cast<lull_weak*>(detail::make_weak_cell(object));
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

extern "C" void* lull_weak_get(const lull_weak* weak) {
  return pointer_of(detail::lock_weak_cell(reinterpret_cast<const detail::WeakCell*>(weak)));
}

// All zero is an empty table.
extern "C" lull_ephemerons* lull_ephemerons_new(void) {
  return static_cast<lull_ephemerons*>(gc::try_allocate_object(detail::KindOf<detail::EphemeronTable>::object));
}

extern "C" int lull_ephemerons_set(lull_ephemerons* table, const void* key, const void* value) {
  if (key == nullptr) return -1;
  const bool done = run_whole([&] {
    detail::EphemeronTable& t = table_of(table);
    if (detail::EphemeronCell* cell = t.find(word_of(key))) t.assign(*cell, word_of(value));
    else t.add(word_of(key), word_of(value));
  });
  return done ? 0 : -1;
}

extern "C" int lull_ephemerons_get(const lull_ephemerons* table, const void* key, void** value) {
  detail::ensure_attached();
  const detail::EphemeronCell* cell = table_of(table).find(word_of(key));
  if (cell == nullptr) return 0;
  *value = pointer_of(detail::load_word(&cell->value));
  return 1;
}

extern "C" int lull_ephemerons_remove(lull_ephemerons* table, const void* key) {
  detail::ensure_attached();
  detail::EphemeronCell* cell = table_of(table).find(word_of(key));
  if (cell == nullptr) return 0;
  table_of(table).remove(*cell);
  return 1;
}

extern "C" std::size_t lull_ephemerons_count(const lull_ephemerons* table) { return table_of(table).entries(); }

extern "C" void lull_ephemerons_each(const lull_ephemerons* table, void (*visit)(void* key, void* value, void* data), void* data) {
  const detail::EphemeronTable::Slots slots = table_of(table).slots();
  for (const ptr<detail::EphemeronCell>& slot : slots) {
    const detail::EphemeronCell* cell = slot.get();
    if (cell == nullptr) continue;
    if (const detail::Word key = detail::lock_key(cell)) visit(pointer_of(key), pointer_of(detail::load_word(&cell->value)), data);
  }
}

extern "C" void lull_enable_finalizer(void* object) {
  const gc::ObjectRef o = gc::resolve(word_of(object));
  if (!o) fatal("lull_enable_finalizer: %p is no object", object);
  const auto& kind = gc::kind_of(*o.span);
  if (kind.destroy == nullptr) fatal("lull_enable_finalizer: kind %s has no finalize function", kind.name.data());
  detail::note_constructed(const_cast<detail::Kind&>(kind), pointer_of(o.address()));
}

extern "C" lull_cleanup* lull_on_unreachable(const void* object, void (*run)(void* data), void* data) {
  ptr<detail::Callback> made;
  const bool done = run_whole([&] {
    made = make<detail::CallbackOf<CCallback>>(CCallback{run, data});
    detail::register_callback(object, made.get());
  });
  return done ? reinterpret_cast<lull_cleanup*>(made.get()) : nullptr;
}

extern "C" int lull_cancel_cleanup(lull_cleanup* cleanup) {
  return detail::cancel_callback(*reinterpret_cast<detail::Callback*>(cleanup)) ? 1 : 0;
}

extern "C" std::size_t lull_run_finalizers(void) { return run_finalizers(); }
extern "C" void lull_wait_for_finalizers(void) { wait_for_finalizers(); }

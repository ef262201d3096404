#include "gc/weak/cleanups.h"

#include <new>
#include <utility>

#include "alloc/base/check.h"
#include "alloc/os/meta_arena.h"
#include "gc/mutator/runtime_section.h"
#include "gc/weak/destructors.h"
#include "lull/on_unreachable.h"

namespace lull::gc {
namespace {

struct Record {
  std::uintptr_t object, callback;
};
struct Chunk {
  static constexpr std::uint32_t kRecords = 255;  // 4 KiB: larger wastes memory in programs with few, smaller links more
  Chunk* next = nullptr;
  std::uint32_t count = 0;
  Record records[kRecords];
};
static_assert(sizeof(Chunk) == 4096);

struct List {
  Chunk *first = nullptr, *last = nullptr;
};

constinit os::Lock lock{os::LockRank::roots};
constinit List intake;                  // lock
constinit Chunk* free_chunks = nullptr;  // lock
constinit List young_records, old_records;  // driver

Chunk* take_chunk_locked() {
  Chunk* chunk = free_chunks;
  if (chunk != nullptr) free_chunks = chunk->next;
  else if (void* memory = os::allocate_meta(sizeof(Chunk))) chunk = new (memory) Chunk;
  if (chunk == nullptr) return nullptr;
  chunk->next = nullptr;
  chunk->count = 0;
  return chunk;
}

bool append_locked(List& list, const Record& record) {
  if (list.last == nullptr || list.last->count == Chunk::kRecords) {
    Chunk* chunk = take_chunk_locked();
    if (chunk == nullptr) return false;
    (list.last == nullptr ? list.first : list.last->next) = chunk;
    list.last = chunk;
  }
  list.last->records[list.last->count++] = record;
  return true;
}

// Driver.
bool append(List& list, const Record& record) {
  if (list.last != nullptr && list.last->count < Chunk::kRecords) {
    list.last->records[list.last->count++] = record;
    return true;
  }
  os::Locked locked(lock);
  return append_locked(list, record);
}

void give_back(Chunk* chunk) {
  os::Locked locked(lock);
  chunk->next = free_chunks;
  free_chunks = chunk;
}

void mark_list(const List& list, Marker& marker) {
  for (const Chunk* chunk = list.first; chunk != nullptr; chunk = chunk->next)
    for (std::uint32_t i = 0; i < chunk->count; ++i) marker.mark_word(chunk->records[i].callback);
}

void take_intake_over() {
  os::Locked locked(lock);
  if (intake.first == nullptr) return;
  (young_records.last == nullptr ? young_records.first : young_records.last->next) = intake.first;
  young_records.last = std::exchange(intake, {}).last;
}

enum class Colour { white, old, born };
Colour colour_of(std::uintptr_t word) {
  const ObjectRef object = resolve(word);
  if (is_marked(object, mark_epoch.load(std::memory_order_relaxed))) return Colour::old;
  return is_candidate(object, current_cycle.load(std::memory_order_relaxed)) ? Colour::white : Colour::born;
}

bool is_cancelled(const Record& record) {
  return reinterpret_cast<const detail::Callback*>(record.callback)->state.load(std::memory_order_relaxed) ==
         detail::Callback::State::cancelled;
}

// Where the record goes. Without memory for the queue the object's death is put off: the record stays.
enum class Fate { gone, stays, settles };
Fate fate_of(const Record& record, Marker& marker) {
  if (is_cancelled(record)) return Fate::gone;
  const Colour colour = colour_of(record.object);
  if (colour == Colour::white) {
    if (queue_callback(record.callback)) return Fate::gone;
    marker.mark_word(record.object);  // no memory to remember it: it lives until the next cycle
    return Fate::stays;
  }
  return colour == Colour::old && colour_of(record.callback) == Colour::old ? Fate::settles : Fate::stays;
}

// Cuts the list behind the first `count` records of `last`.
void cut_behind(List& list, Chunk* last, std::uint32_t count) {
  Chunk* rest = std::exchange(last->next, nullptr);
  last->count = count;
  list.last = last;
  if (count == 0) {
    give_back(last);
    list = {};
  }
  while (rest != nullptr) give_back(std::exchange(rest, rest->next));
}

// Decides about each record. What stays moves towards the front; what settles goes to `settled` as long as nothing before it
// stays, so that both lists keep their order.
void look_at(List& list, List* settled, Marker& marker) {
  if (list.first == nullptr) return;
  Chunk* to = list.first;
  std::uint32_t kept = 0;  // in `to`
  for (Chunk* from = list.first; from != nullptr; from = from->next) {
    const std::uint32_t count = from->count;
    for (std::uint32_t i = 0; i < count; ++i) {
      const Record record = from->records[i];
      const Fate fate = fate_of(record, marker);
      const bool is_first = to == list.first && kept == 0;
      if (fate == Fate::gone || (fate == Fate::settles && settled != nullptr && is_first && append(*settled, record))) continue;
      if (kept == Chunk::kRecords) {
        to->count = kept;
        to = to->next;
        kept = 0;
      }
      to->records[kept++] = record;
    }
  }
  // A chunk other than the first one was entered for a record, so it is the last one only if it holds some.
  cut_behind(list, to, kept);
}

}  // namespace

void mark_callbacks(Marker& marker, CycleKind kind) {
  take_intake_over();
  if (kind == CycleKind::full) mark_list(old_records, marker);
  mark_list(young_records, marker);
}

void queue_callbacks(Marker& marker, CycleKind kind) {
  take_intake_over();
  if (kind == CycleKind::full) look_at(old_records, nullptr, marker);
  look_at(young_records, &old_records, marker);
}

void for_each_callback(void (*visit)(void* context, std::uintptr_t callback), void* context) {
  for (const List* list : {&old_records, &young_records, &intake})
    for (const Chunk* chunk = list->first; chunk != nullptr; chunk = chunk->next)
      for (std::uint32_t i = 0; i < chunk->count; ++i) visit(context, chunk->records[i].callback);
}

os::Lock& cleanup_lock_for_fork() { return lock; }

}  // namespace lull::gc

namespace lull::detail {

// No shade: the intake is read when every stack is black. What a thread stored there before its own scan is found then; what it
// stores later is born during the cycle, or marked in the end like all that a black stack holds.
void register_callback(const void* object, Callback* callback) {
  const auto word = reinterpret_cast<Word>(object);
  if (!gc::resolve(word)) return;
  gc::Mutator& m = gc::self_or_throw();
  {
    gc::RuntimeSection refuse(m);
    gc::lock.lock();
    const bool appended = gc::append_locked(gc::intake, {word, reinterpret_cast<Word>(callback)});
    gc::lock.unlock();
    if (!appended) throw std::bad_alloc();
  }
  asm volatile("" ::"r"(object), "r"(callback) : "memory");
}

bool cancel_callback(Callback& callback) noexcept {
  Callback::State expected = Callback::State::pending;
  return callback.state.compare_exchange_strong(expected, Callback::State::cancelled, std::memory_order_relaxed);
}

}  // namespace lull::detail

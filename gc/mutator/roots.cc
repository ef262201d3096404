#include "gc/mutator/roots.h"

#include <atomic>
#include <new>

#include "alloc/os/meta_arena.h"
#include "alloc/pages/page_heap.h"
#include "alloc/pages/reservation.h"
#include "gc/mutator/runtime_section.h"
#include "lull/detail/barrier.h"
#include "lull/root.h"

namespace lull::gc {
namespace {

constinit os::Lock lock{os::LockRank::roots};
constinit std::atomic<RootChunk*> chunks{nullptr};  // written under lock
constinit std::uintptr_t* free_cells = nullptr;     // lock; linked through the cells
constinit std::size_t in_use = 0;                   // lock

RootChunk* make_chunk() {
  constexpr PageCount kPages{kRootChunkBytes >> kPageShift};
  const pages::PageRun run = pages::page_heap.allocate(kPages, kPages);
  if (!run.found) return nullptr;
  auto* const chunk = new (reinterpret_cast<void*>(pages::address_of(run.first))) RootChunk;
  // The cells first: a card may be dirty since the page was something else.
  for (std::uint32_t i = 0; i < kPages.value; ++i)
    // release: pairs with the acquire in root_chunk_of
    pages::reservation.classes[run.first.value + i].store(pages::PageClass::roots, std::memory_order_release);
  return chunk;
}

std::uintptr_t* take_cell_locked() {
  if (free_cells != nullptr) {
    std::uintptr_t* cell = free_cells;
    free_cells = reinterpret_cast<std::uintptr_t*>(__atomic_load_n(cell, __ATOMIC_RELAXED));
    __atomic_store_n(cell, 0, __ATOMIC_RELAXED);
    return cell;
  }
  RootChunk* chunk = chunks.load(std::memory_order_relaxed);
  if (chunk == nullptr || chunk->used == kRootChunkCells) {
    RootChunk* fresh = make_chunk();
    if (fresh == nullptr) return nullptr;
    fresh->next = chunk;
    chunks.store(fresh, std::memory_order_release);  // release: pairs with first_root_chunk
    chunk = fresh;
  }
  return &chunk->cells[chunk->used++];
}

struct RootFunctionRecord {
  RootFunction trace = nullptr;  // null: free
  void* data = nullptr;
  RootFunctionRecord* next = nullptr;
};
constinit RootFunctionRecord* root_functions = nullptr;  // lock; never freed

RootFunctionRecord* find_root_function_locked(RootFunction trace, void* data) {
  for (RootFunctionRecord* r = root_functions; r != nullptr; r = r->next)
    if (r->trace == trace && r->data == data) return r;
  return nullptr;
}

}  // namespace

bool add_root_function(RootFunction trace, void* data) {
  RuntimeSection section(self());
  os::Locked locked(lock);
  RootFunctionRecord* record = find_root_function_locked(nullptr, nullptr);
  if (record == nullptr) {
    void* memory = os::allocate_meta(sizeof(RootFunctionRecord));
    if (memory == nullptr) return false;
    record = new (memory) RootFunctionRecord;
    record->next = root_functions;
    root_functions = record;
  }
  record->trace = trace;
  record->data = data;
  return true;
}

bool remove_root_function(RootFunction trace, void* data) {
  RuntimeSection section(self());
  os::Locked locked(lock);
  RootFunctionRecord* record = find_root_function_locked(trace, data);
  if (record == nullptr) return false;
  record->trace = nullptr;
  record->data = nullptr;
  return true;
}

void call_root_functions(tracer& t) {
  os::Locked locked(lock);
  for (const RootFunctionRecord* r = root_functions; r != nullptr; r = r->next)
    if (r->trace != nullptr) r->trace(r->data, t);
}

RootChunk* first_root_chunk() { return chunks.load(std::memory_order_acquire); }

bool is_root_cell(std::uintptr_t address) {
  for (RootChunk* chunk = first_root_chunk(); chunk != nullptr; chunk = chunk->next)
    if (address - reinterpret_cast<std::uintptr_t>(chunk->cells) < sizeof(chunk->cells)) return true;
  return false;
}

RootChunk* root_chunk_of(std::uintptr_t base) {
  // acquire: pairs with the release in make_chunk
  if (pages::reservation.classes[pages::page_of(base).value].load(std::memory_order_acquire) != pages::PageClass::roots) return nullptr;
  return reinterpret_cast<RootChunk*>(base & ~(kRootChunkBytes - 1));
}

std::size_t root_cells_in_use() {
  os::Locked locked(lock);
  return in_use;
}

os::Lock& root_lock_for_fork() { return lock; }

}  // namespace lull::gc

namespace lull::detail {

Word* acquire_root_cell() {
  gc::RuntimeSection section(gc::self_or_throw());
  os::Locked locked(gc::lock);
  std::uintptr_t* cell = gc::take_cell_locked();
  if (cell == nullptr) throw std::bad_alloc();
  ++gc::in_use;
  return cell;
}

void release_root_cell(Word* cell) noexcept {
  ensure_attached();
  store_word(cell, 0);  // a deletion like any other: the barrier sees the old value
  gc::RuntimeSection section(gc::self());
  os::Locked locked(gc::lock);
  __atomic_store_n(cell, reinterpret_cast<Word>(gc::free_cells), __ATOMIC_RELAXED);
  gc::free_cells = cell;
  --gc::in_use;
}

}  // namespace lull::detail

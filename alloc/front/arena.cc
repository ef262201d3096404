// Chunks of lull::arena (lull/arena.h): blocks of malloc, or, where LULL_MALLOC=arena asks for it, mappings that nobody can touch
// once the arena was reset.
#include "lull/detail/arena_chunk.h"

#include <algorithm>
#include <atomic>

#include "alloc/base/check.h"
#include "alloc/base/units.h"
#include "alloc/front/malloc_calls.h"
#include "alloc/front/options.h"
#include "alloc/os/faults.h"
#include "alloc/os/vm.h"

namespace lull::front {
namespace {

constexpr std::size_t kSystemPage = 4096;
constexpr std::size_t kMostRetired = 1024;  // chunks; the oldest one's address space is given back for the next

struct Retired {
  std::atomic<std::uintptr_t> start{0};  // 0: empty. release: pairs with explain(), which may run at any time
  std::atomic<std::size_t> bytes{0};
  std::atomic<const char*> name{nullptr};
};
constinit Retired retired[kMostRetired];
constinit std::atomic<std::size_t> retired_ever{0};

bool explain(std::uintptr_t address, const ucontext_t* context) {
  const bool writes = (context->uc_mcontext.gregs[REG_ERR] & 2) != 0;
  for (const Retired& r : retired) {
    const std::uintptr_t start = r.start.load(std::memory_order_acquire);
    if (start == 0 || address - start >= r.bytes.load(std::memory_order_relaxed)) continue;
    say("%s %p, which belonged to the arena '%s' before it was reset", writes ? "write to" : "read of", reinterpret_cast<void*>(address),
        r.name.load(std::memory_order_relaxed));
    return true;
  }
  return false;
}

void retire(detail::ArenaChunk* chunk, const char* name) {
  os::explain_faults(explain);
  const std::size_t bytes = chunk->bytes;
  Retired& r = retired[retired_ever.fetch_add(1, std::memory_order_relaxed) % kMostRetired];
  // acq_rel: whoever takes the old chunk out unmaps it
  if (const std::uintptr_t old = r.start.exchange(0, std::memory_order_acq_rel)) os::unmap(reinterpret_cast<void*>(old), r.bytes.load(std::memory_order_relaxed));
  if (!os::decommit(chunk, bytes)) return os::unmap(chunk, bytes);
  r.bytes.store(bytes, std::memory_order_relaxed);
  r.name.store(name, std::memory_order_relaxed);
  r.start.store(reinterpret_cast<std::uintptr_t>(chunk), std::memory_order_release);
}

}  // namespace
}  // namespace lull::front

namespace lull::detail {

bool arenas_are_checked() noexcept { return front::malloc_options().arena != 0; }

ArenaChunk* take_arena_chunk(std::size_t bytes) noexcept {
  const bool checked = arenas_are_checked();
  if (checked) bytes = round_up(bytes, front::kSystemPage);
  auto* chunk = static_cast<ArenaChunk*>(checked ? os::map(bytes) : front::call_malloc(bytes));
  if (chunk != nullptr) *chunk = {nullptr, bytes};
  return chunk;
}

void free_arena_chunks(ArenaChunk* first, const char* name) noexcept {
  while (ArenaChunk* chunk = first) {
    first = chunk->next;
    if (arenas_are_checked()) front::retire(chunk, name);
    else front::free(chunk);
  }
}

void stop_at_illegal_state(const char* pool, unsigned from, unsigned to) noexcept {
  static constexpr const char* names[] = {"allocated", "bound", "ready", "reset pending"};
  fatal("an object of the arena pool '%s' is %s and was about to become %s", pool, names[from], names[to]);
}
void stop_at_dangling_reference(const char* pool, const void* object) noexcept {
  fatal("use of %p, which has gone back to the arena pool '%s' since", object, pool);
}
void stop_at_bound_objects(const char* pool, std::size_t count) noexcept {
  fatal("the arena pool '%s' ends while %zu of its objects are bound", pool, count);
}
void stop_at_foreign_thread(const char* pool) noexcept { fatal("the arena pool '%s' belongs to another thread", pool); }

}  // namespace lull::detail

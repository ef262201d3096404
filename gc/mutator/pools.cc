#include "gc/mutator/pools.h"

#include <cstring>

#include "alloc/base/check.h"
#include "alloc/os/meta_arena.h"
#include "gc/model/delay.h"
#include "gc/mutator/handshake.h"
#include "gc/mutator/runtime_section.h"
#include "lull/detail/pool.h"
#include "lull/make.h"
#include "lull/root.h"
#include "lull/thread.h"

namespace lull::gc {
namespace {

using detail::kMostPools;
using detail::load_word;
using detail::PoolBlock;
using detail::PoolLocal;
using detail::store_word;
using detail::Word;

constinit os::Lock lock{os::LockRank::roots};               // records; before a root cell's lock is taken it is released
constinit std::atomic<Word*> lists[kMostPools + 1] = {};    // by number: root cell of the first PoolLocal; null: free
constinit Word no_locals = 0;                               // a list: of a pool that is gone, whose number threads may still have parts by
constinit std::atomic<std::uint32_t> most{0};               // the highest number that was ever in use
constinit std::atomic<bool> age_now{false};

PoolLocal* first_local(std::uint32_t number) {
  Word* list = lists[number].load(std::memory_order_acquire);
  // acquire: pairs with the store in add_local
  return list == nullptr ? nullptr : reinterpret_cast<PoolLocal*>(__atomic_load_n(list, __ATOMIC_ACQUIRE));
}
PoolLocal* next_local(const PoolLocal& local) { return reinterpret_cast<PoolLocal*>(load_word(&local.next)); }

// Nobody waits for it: who finds it taken does without. So a thread that was interrupted, or not forked along, blocks nobody.
class TryLocked {
 public:
  explicit TryLocked(PoolLocal& local) : local_(local), held_(local.locked.exchange(1, std::memory_order_acquire) == 0) {}
  ~TryLocked() {
    if (held_) local_.locked.store(0, std::memory_order_release);
  }
  TryLocked(const TryLocked&) = delete;
  TryLocked& operator=(const TryLocked&) = delete;
  explicit operator bool() const { return held_; }

 private:
  PoolLocal& local_;
  const bool held_;
};

// Under the lock. 0: empty.
Word pop(Word& blocks, std::uint32_t& count) {
  auto* block = reinterpret_cast<PoolBlock*>(load_word(&blocks));
  if (block == nullptr) return 0;
  if (count == 0) {
    const Word previous = load_word(&block->previous);
    if (previous == 0) return 0;
    store_word(&blocks, previous);
    block = reinterpret_cast<PoolBlock*>(previous);
    count = PoolBlock::kItems;
  }
  Word& place = block->items[--count];
  const Word object = load_word(&place);
  store_word(&place, 0);
  return object;
}

// False: there is no room.
bool push(PoolLocal& local, Word object) {
  auto* block = reinterpret_cast<PoolBlock*>(load_word(&local.free_blocks));
  if (block == nullptr || local.free_count == PoolBlock::kItems) return false;
  store_word(&block->items[local.free_count++], object);
  return true;
}

bool push_locked(PoolLocal& local, Word object, PoolBlock* fresh) {
  TryLocked locked(local);
  if (!locked) return false;
  if (push(local, object)) return true;
  if (fresh == nullptr) return false;
  store_word(&fresh->previous, load_word(&local.free_blocks));
  store_word(&local.free_blocks, reinterpret_cast<Word>(fresh));
  local.free_count = 0;
  return push(local, object);
}

Word pop_free(PoolLocal& local) {
  TryLocked locked(local);
  return locked ? pop(local.free_blocks, local.free_count) : 0;
}
Word pop_victim(PoolLocal& local) {
  TryLocked locked(local);
  return locked ? pop(local.victim_blocks, local.victim_count) : 0;
}

template <class Take>
Word take_of_any(std::uint32_t number, Take&& take) {
  for (PoolLocal* local = first_local(number); local != nullptr; local = next_local(*local))
    if (const Word object = take(*local)) return object;
  return 0;
}

PoolLocal* adopt_local(std::uint32_t number) {
  for (PoolLocal* local = first_local(number); local != nullptr; local = next_local(*local)) {
    std::uint32_t nobody = 0;
    // acquire: pairs with the release in leave_pools()
    if (local->owned.compare_exchange_strong(nobody, 1, std::memory_order_acq_rel)) return local;
  }
  return nullptr;
}

ptr<PoolLocal> make_local() noexcept {
  try {
    return make<PoolLocal>();
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

PoolLocal* add_local(std::uint32_t number) {
  ptr<PoolLocal> fresh = make_local();
  if (fresh == nullptr) return nullptr;
  Word* list = lists[number].load(std::memory_order_acquire);
  Word first = __atomic_load_n(list, __ATOMIC_ACQUIRE);
  do store_word(&fresh->next, first);
  while (!detail::compare_exchange_word(list, first, reinterpret_cast<Word>(fresh.get())));
  return fresh.get();
}

bool has_table(const Mutator& m) { return m.block->pools != detail::no_pools; }

bool make_table(Mutator& m) {
  if (m.pool_table == nullptr) m.pool_table = static_cast<PoolLocal**>(os::allocate_meta((kMostPools + 1) * sizeof(PoolLocal*)));
  if (m.pool_table == nullptr) return false;
  std::memset(m.pool_table, 0, (kMostPools + 1) * sizeof(PoolLocal*));
  m.block->pools = m.pool_table;
  return true;
}

// The thread's part of the pool; null: it has none, and the memory for one is missing.
PoolLocal* own_local(std::uint32_t number) {
  if (number == 0) return nullptr;
  Mutator& m = self();
  if (!has_table(m) && !make_table(m)) return nullptr;
  if (PoolLocal* local = m.pool_table[number]) return local;
  PoolLocal* local = adopt_local(number);
  if (local == nullptr) local = add_local(number);
  return m.pool_table[number] = local;
}

// Plain stores: no barrier is on anywhere, or not yet on this thread. The objects do not change their generation by it.
void move_word(Word& to, Word& from) {
  __atomic_store_n(&to, load_word(&from), __ATOMIC_RELAXED);
  detail::dirty_card(&to);
  __atomic_store_n(&from, Word{0}, __ATOMIC_RELAXED);
}

void age_list(PoolLocal& local) {
  TryLocked locked(local);
  if (!locked) return;
  move_word(local.victim_blocks, local.free_blocks);
  local.victim_count = local.free_count;
  local.free_count = 0;
}

std::uint32_t take_number(Word* list) {
  RuntimeSection section(self());
  os::Locked locked(lock);
  for (std::uint32_t n = 1; n <= kMostPools; ++n) {
    if (lists[n].load(std::memory_order_relaxed) != nullptr) continue;
    delay_point("pool gets its number");
    lists[n].store(list, std::memory_order_release);
    if (n > most.load(std::memory_order_relaxed)) most.store(n, std::memory_order_relaxed);
    return n;
  }
  return 0;
}

Word* exchange_list(std::uint32_t number, Word* list) {
  RuntimeSection section(self());
  os::Locked locked(lock);
  return lists[number].exchange(list, std::memory_order_acq_rel);
}

// Its lists may be half of a change.
void drop_lists(PoolLocal& local) {
  local.free_blocks = local.victim_blocks = 0;
  local.free_count = local.victim_count = 0;
  local.locked.store(0, std::memory_order_relaxed);
}

}  // namespace

os::Lock& pool_lock_for_fork() { return lock; }

// No cycle runs, so that the plain stores lose nothing that is kept otherwise. What the lost threads had is there for others.
void forget_pool_owners_after_fork(const Mutator* own) {
  for (std::uint32_t n = 1; n <= most.load(std::memory_order_relaxed); ++n) {
    const PoolLocal* const mine = own != nullptr && has_table(*own) ? own->pool_table[n] : nullptr;
    for (PoolLocal* local = first_local(n); local != nullptr; local = next_local(*local)) {
      if (local->locked.load(std::memory_order_relaxed) != 0) drop_lists(*local);
      if (local != mine && local->owned.load(std::memory_order_relaxed) != 0) local->owned.store(0, std::memory_order_relaxed);
    }
  }
}

void set_pools_age(bool full) { age_now.store(full && most.load(std::memory_order_relaxed) != 0, std::memory_order_relaxed); }

void age_pool_lists() {
  if (!age_now.load(std::memory_order_relaxed)) return;
  os::Locked locked(lock);
  for (std::uint32_t n = 1; n <= most.load(std::memory_order_relaxed); ++n)
    for (PoolLocal* local = first_local(n); local != nullptr; local = next_local(*local)) {
      age_list(*local);
      // Nobody's any more: nobody else ages its own objects. The swap keeps a thread that attaches from taking it meanwhile.
      std::uint32_t nobody = 0;
      if (!local->owned.compare_exchange_strong(nobody, 1, std::memory_order_acq_rel)) continue;
      move_word(local->victim, local->item);
      local->owned.store(0, std::memory_order_release);
    }
}

void age_own_pools(Mutator& m) {
  if (!age_now.load(std::memory_order_relaxed) || !has_table(m) || m.block->pool_busy != 0) return;
  for (std::uint32_t n = 1; n <= most.load(std::memory_order_relaxed); ++n)
    if (PoolLocal* local = m.pool_table[n]) move_word(local->victim, local->item);
}

void leave_pools(Mutator& m) {
  if (m.pool_table == nullptr) return;  // not by its block, which may be gone
  for (std::uint32_t n = 1; n <= most.load(std::memory_order_relaxed); ++n)
    // release: pairs with the acquire in adopt_local()
    if (PoolLocal* local = std::exchange(m.pool_table[n], nullptr)) local->owned.store(0, std::memory_order_release);
}

}  // namespace lull::gc

namespace lull::detail {

using namespace gc;

std::uint32_t register_pool() {
  Word* list = acquire_root_cell();
  const std::uint32_t number = take_number(list);
  if (number == 0) release_root_cell(list);
  return number;
}

// The number is free for another pool only when nobody has a part by it any more: objects of this one would come out of that.
void forget_pool(std::uint32_t number) noexcept {
  if (number == 0) return;
  ensure_attached();
  Word* const list = exchange_list(number, &no_locals);
  {
    blocking_region waiting;  // for a driver that waits for answers with the lock held, this thread's among them
    os::Locked locked(mutators.lock);
    for (Mutator* m = mutators.first; m != nullptr; m = m->next)
      if (m->pool_table != nullptr) m->pool_table[number] = nullptr;
  }
  exchange_list(number, nullptr);
  release_root_cell(list);
}

Word take_from_pool_slow(std::uint32_t number) noexcept {
  PoolLocal* own = own_local(number);
  if (own == nullptr) return 0;
  thread_block.pool_busy = 1;
  asm volatile("" ::: "memory");
  Word object = load_word(&own->item);  // of one that was taken over just now
  Word& place = object != 0 ? own->item : own->victim;
  object = load_word(&place);
  if (object != 0) store_word(&place, 0);
  asm volatile("" : "+r"(object)::"memory");
  thread_block.pool_busy = 0;
  if (object == 0) object = pop_free(*own);
  if (object == 0) object = take_of_any(number, pop_free);
  if (object == 0) object = take_of_any(number, pop_victim);
  return object;
}

void give_to_pool_slow(std::uint32_t number, Word object) noexcept {
  asm volatile("" : "+r"(object));  // stays visible to a scan while a block is made
  PoolLocal* own = own_local(number);
  if (own == nullptr) return;
  if (load_word(&own->item) == 0) return store_word(&own->item, object);
  if (push_locked(*own, object, nullptr)) return;
  const std::uint32_t seen = own->locked.load(std::memory_order_relaxed);
  if (seen != 0) return;  // a thief is at it: the object is dropped
  try {
    ptr<PoolBlock> fresh = make<PoolBlock>();
    push_locked(*own, object, fresh.get());
  } catch (const std::bad_alloc&) {
  }
  asm volatile("" ::"r"(object));
}

}  // namespace lull::detail

// What players do with more of the interface: a concurrent map, containers, pools that come and go, coroutines, threads that end while nobody
// is looking.
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <thread>

#include "tests/alloc/support.h"
#include "tests/stress/player.h"

namespace lull::stress {
namespace {

using Guard = std::lock_guard<PollingLock>;

ptr<Node> as_ptr(const Held& held) { return ptr<Node>(held.p); }

}  // namespace

// The map. A key's lock orders those who change what it leads to; who only reads takes none.

void Player::use_map() {
  const std::uint64_t key = pick(kKeys);
  if (pick(4) == 0) {
    if (const auto entry = world.map.find(key)) {
      const Held found = identify(entry->second.get());
      pause();
      meet(found);
    }
    return;
  }
  const Held fresh = pick(3) == 0 ? Held{} : find();
  Held found;
  {
    Guard guard(world.key_locks[key]);
    Id& known = world.key_ids[key];
    if (const auto entry = world.map.find(key)) found = {entry->second.get(), known};
    if ((found.p != nullptr) != (known != kNone)) fault("key %zu leads to %p", static_cast<std::size_t>(key), static_cast<void*>(found.p));
    if (fresh) world.map.insert_or_assign(key, as_ptr(fresh));
    else if (world.map.erase(key) != (known != kNone)) fault("erasing key %zu disagrees with its shadow", static_cast<std::size_t>(key));
    known = fresh.id;
  }
  meet(found);
  if (found && pick(4) == 0) put_anywhere(found);
}

// A container in an object: elements move when it grows, when one is taken out, and when it is turned round.

void Player::use_shelf() {
  Held shelf = find();
  if (!shelf || world.shadow[shelf.id].shape != Shape::shelf) put_anywhere(shelf = make_shape(Shape::shelf));
  const Held target = find();
  Guard guard(world.shadow.lock_of(shelf.id));
  auto& more = static_cast<Shelf*>(shelf.p)->more;
  auto& edges = world.shadow[shelf.id].edges;
  const std::size_t choice = pick(4);
  if (more.size() < 40 && (more.empty() || choice < 2)) {
    edges.reserve(edges.size() + 1);
    const auto at = static_cast<std::ptrdiff_t>(pick(more.size() + 1));
    more.insert(more.begin() + at, ptr<char>(reinterpret_cast<char*>(target.p)));
    edges.insert(edges.begin() + kOwnEdges + at, Edge{target.id, 0});
  } else if (choice == 2) {
    const auto at = static_cast<std::ptrdiff_t>(pick(more.size()));
    more.erase(more.begin() + at);
    edges.erase(edges.begin() + kOwnEdges + at);
  } else {
    const auto middle = static_cast<std::ptrdiff_t>(pick(more.size()));
    std::rotate(more.begin(), more.begin() + middle, more.end());
    std::rotate(edges.begin() + kOwnEdges, edges.begin() + kOwnEdges + middle, edges.end());
  }
}

// Pools. Nobody uses one that is being destroyed: its slot is closed, and its users are waited for.

namespace {

class PoolUse {
 public:
  explicit PoolUse(PoolSlot& slot) : slot_(slot) { slot_.users.fetch_add(1); }
  ~PoolUse() { slot_.users.fetch_sub(1); }
  PoolUse(const PoolUse&) = delete;
  PoolUse& operator=(const PoolUse&) = delete;
  pool<Pooled>* get() const { return slot_.closed.load() ? nullptr : slot_.pool.get(); }

 private:
  PoolSlot& slot_;
};

bool wait_for_users(PoolSlot& slot) {  // not for ever: one may be a fiber that this thread would have to run
  for (int i = 0; i < 200 && slot.users.load() != 0; ++i) {
    lull::safepoint();
    ::sched_yield();
  }
  return slot.users.load() == 0;
}

void replace_pool(PoolSlot& slot) {
  if (slot.closed.exchange(true)) return;
  if (wait_for_users(slot)) {
    slot.pool = nullptr;
    const std::uint64_t tag = ++slot.tag;
    try {
      slot.pool = std::make_unique<pool<Pooled>>([tag] { return make<Pooled>(tag); });
    } catch (const std::bad_alloc&) {
      world.out_of_memory.fetch_add(1, std::memory_order_relaxed);
    }
  }
  slot.closed.store(false);
}

}  // namespace

void Pooled::reset() {
  if (users.exchange(0) != 1) fault("an object of a pool came back that nobody had");
  edge = nullptr;
}

void Player::use_pool() {
  PoolSlot& slot = world.pools[pick(kPools)];
  if (pick(30) == 0) return replace_pool(slot);
  const PoolUse use(slot);
  if (use.get() == nullptr) return;
  auto handle = use.get()->get();
  if (handle->tag != slot.tag || handle->check != (handle->tag ^ kCheck))
    fault("pool %llu handed out an object of pool %llu", static_cast<unsigned long long>(slot.tag), static_cast<unsigned long long>(handle->tag));
  if (handle->users.exchange(1) != 0) fault("a pool handed out what somebody has");
  if (handle->edge) fault("a pool handed out what was not reset");
  const Held target = find();
  handle->edge = as_ptr(target);
  if (pick(4) == 0) make_garbage();
  pause();
  if (handle->edge.get() != target.p) fault("an object of a pool was changed while it was out");
  meet(target);
  if (pick(8) == 0) handle.release();
}

// Coroutines, each of which holds one object. It is handed the next one by a root, so that its frame has room for no other.

namespace {

[[gnu::noinline]] void take_mail(Held& kept, std::size_t i) {
  meet_whole(kept);
  Strand& strand = world.strands[i];
  if (!strand.mail) return;
  kept = {strand.mail.get(), strand.mail_id};
  meet(kept);
}

generator<Id> hold_what_comes(std::size_t i) {
  for (Held kept;;) {
    take_mail(kept, i);
    co_yield kept.id;
  }
}

void forget_mail(Strand& strand) {
  strand.mail = nullptr;
  strand.mail_id = kNone;
}

}  // namespace

void Player::use_strand() {
  const std::size_t i = pick(kStrands);
  Strand& strand = world.strands[i];
  const Held next = pick(2) == 0 ? find() : Held{};
  Guard guard(strand.lock);
  if (!strand.body) strand.body = make<StrandBody>(hold_what_comes(i));
  if (next) {
    strand.mail = as_ptr(next);
    strand.mail_id = next.id;
  }
  const ptr<StrandBody> body = strand.body.load();
  const Id kept = body->advance();
  if (next) strand.kept = next.id;
  forget_mail(strand);
  if (kept != strand.kept) fault("coroutine %zu holds object %llu", i, static_cast<unsigned long long>(kept));
  if (pick(10) != 0) return;
  strand.body = nullptr;
  strand.kept = kNone;
}

// A thread that allocates for the last time when the library's own key destructor has had its last turn: nobody tells when it is gone.

namespace {

struct LastWords {
  std::uint64_t seed;
  Habits habits;
  int rounds = 0;
};

pthread_key_t last_key() {
  static const pthread_key_t key = [] {
    pthread_key_t made{};
    if (pthread_key_create(&made, [](void* argument) {
          auto& last = *static_cast<LastWords*>(argument);
          if (++last.rounds < PTHREAD_DESTRUCTOR_ITERATIONS) pthread_setspecific(last_key(), &last);
          else Player(last.seed, last.habits).play(20);
        }) != 0)
      fault("no key for thread-specific data");
    return made;
  }();
  return key;
}

}  // namespace

void Player::end_unnoticed() {
  if (!habits_.may_start_threads || lull::testing::kThreadSanitizer) return;  // whose own destructor may have had its last turn then
  LastWords last{random_(), habits_};
  last.habits.may_start_threads = false;
  last.habits.pause = nullptr;
  blocking_region joining;
  std::thread([&] {
    Player(last.seed ^ 1, last.habits).play(5);
    pthread_setspecific(last_key(), &last);
  }).join();
}

}  // namespace lull::stress

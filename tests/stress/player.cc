#include "tests/stress/player.h"

#include <algorithm>
#include <csetjmp>
#include <new>
#include <thread>

#include <unistd.h>

#include "lull/malloc.h"

namespace lull::stress {
namespace {

using Guard = std::lock_guard<PollingLock>;

std::size_t size_of(Shape shape) {
  switch (shape) {
    case Shape::plain: return sizeof(Plain);
    case Shape::opaque: return sizeof(Opaque);
    case Shape::big: return sizeof(Big);
    case Shape::table: return sizeof(Table);
    case Shape::bytes: return sizeof(Bytes);
    case Shape::doomed: return sizeof(Doomed);
    case Shape::watcher: return sizeof(Watcher);
    case Shape::keeper: return sizeof(Keeper);
    case Shape::shelf: return sizeof(Shelf);
  }
  return sizeof(Node);
}

ptr<Node> as_ptr(const Held& held) { return ptr<Node>(held.p); }

// From the address that the thread holds, never from the shadow's: only what is used later is on the stack until then.
ptr<char> inside(const Held& target, const Edge& edge) {
  return ptr<char>(target ? reinterpret_cast<char*>(target.p) + edge.offset : nullptr);
}

// Is it what the shadow says? Compared through a copy: a compiler that knows the two to be equal may go on with the shadow's, in
// whose disguised form no scan recognises it.
bool is_at(const char* found, const Edge& edge) {
  asm volatile("" : "+r"(found));
  return found == address_of(edge);
}

}  // namespace

void Player::play(int steps) {
  for (int i = 0; i < steps; ++i) try {
      if (i % 8 == 0) pause();
      step();
    } catch (const std::bad_alloc&) {
      world.out_of_memory.fetch_add(1, std::memory_order_relaxed);
    }
}

void Player::pause() {
  if (habits_.pause) habits_.pause();
}

void Player::step() {
  const std::size_t choice = pick(1000);
  if (choice < 25) return use_map();
  if (choice < 45) return use_pool();
  if (choice < 60) return use_strand();
  if (choice < 85) return use_shelf();
  if (choice < 550) return insert();
  if (choice < 640) return link();
  if (choice < 710) return cut();
  if (choice < 730) return use_slots();
  if (choice < 800) return watch();
  if (choice < 880) return use_ephemerons();
  if (choice < 900) return await_end();
  if (choice < 920) return destroy_own();
  if (choice < 935) return replace_array();
  if (choice < 945) return hold_for_a_while();
  if (choice < 950) return hold_deep_down(static_cast<int>(pick(200)));
  if (choice < 960) return hold_across_a_jump();
  if (choice < 965) return hold_across_an_exception();
  if (choice < 985) return exchange_block();
  if (choice < 995) return make_garbage();
  if (choice < 996) return start_thread();
  if (choice < 997) return end_unnoticed();
  collect();
}

// Walking.

Held Player::take_from_root() {
  const std::size_t i = pick(kRoots);
  Guard guard(world.root_locks[i]);
  const Edge edge = world.root_edges[i];
  char* found = world.roots[i].get();
  if (!is_at(found, edge)) fault("root %zu refers to %p, not %p", i, static_cast<void*>(found), static_cast<void*>(address_of(edge)));
  if (edge.target == kNone) return {};
  return {reinterpret_cast<Node*>(found - edge.offset), edge.target};
}

Held Player::take_from_slot() { return identify(world.slots->nodes[pick(kSlots)].load().get()); }

std::size_t Player::edges_of(const Held& holder) {
  Guard guard(world.shadow.lock_of(holder.id));
  return world.shadow[holder.id].edges.size();
}

Held Player::read_edge(const Held& holder, std::size_t i) {
  Guard guard(world.shadow.lock_of(holder.id));
  const std::vector<Edge>& edges = world.shadow[holder.id].edges;
  if (i >= edges.size()) return {};
  const Edge edge = edges[i];
  char* found = edge_of(holder, i).get();
  if (!is_at(found, edge))
    fault("edge %zu of object %llu refers to %p, not %p", i, static_cast<unsigned long long>(holder.id), static_cast<void*>(found), static_cast<void*>(address_of(edge)));
  if (edge.target == kNone) return {};
  return {reinterpret_cast<Node*>(found - edge.offset), edge.target};
}

Held Player::cut_edge(const Held& holder, std::size_t i) {
  Guard guard(world.shadow.lock_of(holder.id));
  std::vector<Edge>& edges = world.shadow[holder.id].edges;
  if (i >= edges.size() || edges[i].target == kNone) return {};
  const Edge edge = edges[i];
  ptr<char>& slot = edge_of(holder, i);
  char* found = slot.get();
  slot = nullptr;
  edges[i] = {};
  return {reinterpret_cast<Node*>(found - edge.offset), edge.target};
}

Held Player::follow(const Held& from) {
  const Held next = read_edge(from, pick(edges_of(from)));
  meet(next);
  return next;
}

Held Player::find() {
  Held at = pick(4) == 0 ? take_from_slot() : take_from_root();
  meet(at);
  for (std::size_t steps = pick(12); at && steps > 0; --steps) {
    const Held next = follow(at);
    if (!next) break;
    at = next;
  }
  if (pick(16) == 0) meet_whole(at);
  return at;
}

// Making and linking.

Held Player::make_any() {
  constexpr Shape kOften[] = {Shape::plain, Shape::plain, Shape::plain, Shape::opaque, Shape::opaque, Shape::table,
                              Shape::bytes, Shape::doomed, Shape::watcher, Shape::keeper};
  return make_shape(pick(300) == 0 ? Shape::big : kOften[pick(std::size(kOften))]);
}

Held Player::make_shape(Shape shape) {
  const Id id = world.shadow.reserve();
  Node* p = nullptr;
  std::size_t further = 0, words = 0;
  switch (shape) {
    case Shape::plain: p = make<Plain>(id).get(); break;
    case Shape::opaque: p = reinterpret_cast<Node*>(make<Opaque>(id).get()); break;
    case Shape::big: p = make<Big>(id).get(); break;
    case Shape::doomed: p = make<Doomed>(id).get(); break;
    case Shape::watcher: p = make<Watcher>(id).get(); break;
    case Shape::keeper: p = make<Keeper>(id).get(); break;
    case Shape::shelf: p = make<Shelf>(id).get(); break;
    case Shape::table: {
      const ptr<Table> table = make<Table>(id);
      further = pick(50) == 0 ? 1 + pick(5000) : 1 + pick(40);
      table->more = make_array<ptr<char>>(further);
      p = table.get();
      break;
    }
    case Shape::bytes: {
      const ptr<Bytes> bytes = make<Bytes>(id);
      words = pick(20) == 0 ? pick(pick(habits_.many_mappings ? 2 : 20) == 0 ? 400'000 : 10'000) : pick(100);
      const ptr<std::uint64_t[]> content = make_array<std::uint64_t>(words);
      for (std::size_t i = 0; i < words; ++i) content[i] = pattern(id, i);
      bytes->words = content;
      p = bytes.get();
      break;
    }
  }
  Record& r = world.shadow[id];
  r.shape = shape;
  r.base = lull::testing::Hidden(p);
  r.bytes = size_of(shape);
  r.words = words;
  r.edges.resize(kOwnEdges + further);
  r.watched.resize(shape == Shape::watcher ? 2 : 0);
  r.alive.store(true, std::memory_order_relaxed);
  return {p, id};
}

std::size_t Player::any_offset(const Held& target) { return !target || pick(2) == 0 ? 0 : pick(world.shadow[target.id].bytes); }

void Player::set_edge(const Held& holder, std::size_t i, const Held& target) {
  const Edge edge{target.id, any_offset(target)};
  Guard guard(world.shadow.lock_of(holder.id));
  std::vector<Edge>& edges = world.shadow[holder.id].edges;
  if (i >= edges.size()) return;  // the array was replaced meanwhile
  edge_of(holder, i) = inside(target, edge);
  edges[i] = edge;
}

void Player::set_root(std::size_t i, const Held& target) {
  const Edge edge{target.id, any_offset(target)};
  Guard guard(world.root_locks[i]);
  if (pick(8) == 0) world.roots[i] = root<char>();                // keeps its cell
  if (pick(8) == 0) root<char>().swap(world.roots[i]);            // gives it back
  world.root_edges[i] = {};
  world.roots[i] = inside(target, edge);
  world.root_edges[i] = edge;
}

void Player::put_anywhere(const Held& held) {
  switch (pick(40)) {
    case 0: return set_root(pick(kRoots), held);
    case 1: return world.slots->nodes[pick(kSlots)].store(as_ptr(held));
    default: break;
  }
  const Held holder = find();
  if (!holder) return set_root(pick(kRoots), held);
  std::size_t i = pick(edges_of(holder));
  if (read_edge(holder, i) && pick(4) != 0) i = pick(edges_of(holder));  // rather a free one: the graph is to grow
  set_edge(holder, i, held);
}

// Operations.

// A new object takes over what was in its place, so that the graph grows.
void Player::insert() {
  const Held fresh = make_any();
  const Held holder = find();
  if (!holder) return set_root(pick(kRoots), fresh);
  const std::size_t i = pick(edges_of(holder));
  if (pick(16) != 0) set_edge(fresh, pick(edges_of(fresh)), read_edge(holder, i));
  set_edge(holder, i, fresh);
}

void Player::link() {
  const Held target = find();
  put_anywhere(target);
}

void Player::cut() {
  if (pick(40) == 0) return set_root(pick(kRoots), {});
  const Held holder = find();
  if (!holder) return;
  const Held taken = cut_edge(holder, pick(edges_of(holder)));
  meet(taken);
  if (taken && pick(2) == 0) put_anywhere(taken);  // heap to stack to heap
}

void Player::use_slots() {
  atomic_ptr<Node>& slot = world.slots->nodes[pick(kSlots)];
  switch (pick(4)) {
    case 0: return slot.store(nullptr);
    case 1: {
      const Held taken = identify(slot.exchange(nullptr).get());
      if (pick(2) == 0) put_anywhere(taken);
      return;
    }
    case 2: {
      ptr<Node> expected = slot.load();
      const Held fresh = pick(2) == 0 ? make_any() : find();
      slot.compare_exchange(expected, as_ptr(fresh));
      return void(identify(expected.get()));
    }
    default: {
      const Held found = find();
      identify(slot.exchange(as_ptr(found)).get());
    }
  }
}

void Player::watch() {
  const Held watcher = make_shape(Shape::watcher);
  const Held target = find();
  const weak_ptr<Node> weak(as_ptr(target));
  {
    Guard guard(world.shadow.lock_of(watcher.id));
    static_cast<Watcher*>(watcher.p)->watched[0] = weak;
    world.shadow[watcher.id].watched[0] = target.id;
  }
  put_anywhere(watcher);
  const Held other = find();
  if (!other || world.shadow[other.id].shape != Shape::watcher) return;
  Held locked;
  {
    Guard guard(world.shadow.lock_of(other.id));
    locked.p = static_cast<Watcher*>(other.p)->watched[0].lock().get();
    locked.id = locked.p == nullptr ? kNone : world.shadow[other.id].watched[0];
  }
  meet(locked);
  if (locked && pick(2) == 0) put_anywhere(locked);
}

void Player::use_ephemerons() {
  Held keeper = find();
  if (!keeper || world.shadow[keeper.id].shape != Shape::keeper) put_anywhere(keeper = make_shape(Shape::keeper));
  const Held key = find(), value = find();
  if (!key || !value) return;
  Guard guard(world.shadow.lock_of(keeper.id));
  auto& map = static_cast<Keeper*>(keeper.p)->map;
  auto& entries = world.shadow[keeper.id].entries;
  const auto entry = std::find_if(entries.begin(), entries.end(), [&](const auto& e) { return e.first == key.id; });
  const Node* seen = map.find(as_ptr(key)).get();
  if (entry == entries.end() ? seen != nullptr : seen != world.shadow[entry->second].base.as<Node>())
    fault("map %llu has the wrong value for object %llu", static_cast<unsigned long long>(keeper.id), static_cast<unsigned long long>(key.id));
  if (pick(4) == 0) {
    if (map.erase(as_ptr(key)) != (entry != entries.end())) fault("erase from a map disagrees with its shadow");
    if (entry != entries.end()) entries.erase(entry);
  } else if (entry != entries.end() || entries.size() < 16) {
    map.insert_or_assign(as_ptr(key), as_ptr(value));
    if (entry != entries.end()) entry->second = value.id;
    else entries.emplace_back(key.id, value.id);
  } else {
    map.clear();
    entries.clear();
  }
}

void Player::await_end() {
  const Held held = find();
  if (!held) return;
  Record& r = world.shadow[held.id];
  cleanup handle = on_unreachable(as_ptr(held), [&r] { r.callbacks_run.fetch_add(1); });
  r.callbacks_due.fetch_add(1);
  if (pick(4) == 0 && handle.cancel()) r.callbacks_due.fetch_sub(1);
  meet(held);
}

// Objects that nobody else has seen.
void Player::destroy_own() {
  const Held own = make_any();
  set_edge(own, 0, find());
  if (pick(2) == 0) make_garbage();
  meet_whole(own);
  world.shadow[own.id].alive.store(false, std::memory_order_relaxed);
  destroy(as_ptr(own));
}

void Player::replace_array() {
  const Held table = make_shape(Shape::table);
  for (int i = 0; i < 3; ++i) set_edge(table, pick(edges_of(table)), find());
  put_anywhere(table);
  const std::size_t length = 1 + pick(100);
  const ptr<ptr<char>[]> fresh = make_array<ptr<char>>(length);
  Guard guard(world.shadow.lock_of(table.id));
  std::vector<Edge>& edges = world.shadow[table.id].edges;
  edges.resize(kOwnEdges + length);
  Table& object = *static_cast<Table*>(table.p);
  for (std::size_t i = 0; i < std::min(length, object.more.size()); ++i) fresh[i] = object.more[i];
  object.more = fresh;
}

// What only this stack holds, over something that takes long.
void Player::hold_for_a_while() {
  Held held[4];
  for (Held& h : held)
    if (const Held holder = find()) h = cut_edge(holder, pick(edges_of(holder)));
  pause();
  if (pick(2) == 0) {
    blocking_region sleeping;
    ::usleep(static_cast<useconds_t>(pick(300)));  // one call: std::this_thread::sleep_for() never ends where signals come every 50 us
  } else {
    volatile std::uint64_t turns = 0;
    for (std::size_t n = pick(100'000); turns < n;) turns = turns + 1;
  }
  for (const Held& h : held) {
    meet_whole(h);
    put_anywhere(h);
  }
}

[[gnu::noinline]] void Player::hold_deep_down(int depth) {
  const Held held = depth % 8 == 0 ? make_any() : find();
  volatile std::uint64_t padding[24] = {};
  if (depth > 0) hold_deep_down(depth - 1);
  else pause();
  meet(held);
  if (padding[0] == 0 && depth % 16 == 0) put_anywhere(held);
}

void Player::hold_across_a_jump() {
  std::jmp_buf environment;
  Node* volatile kept = nullptr;
  volatile Id kept_id = kNone;
  if (setjmp(environment) == 0) {
    const Held held = make_any();
    kept = held.p;
    kept_id = held.id;
    make_garbage();
    pause();
    std::longjmp(environment, 1);
  }
  const Held held{kept, kept_id};
  meet_whole(held);
  put_anywhere(held);
}

void Player::hold_across_an_exception() {
  struct Exception {
    root<Node> node;  // exception objects live in malloc's memory
    Id id;
  };
  struct MakesInUnwinding {
    Player& player;
    ~MakesInUnwinding() {
      try {
        player.make_garbage();
      } catch (const std::bad_alloc&) {
      }
    }
  };
  try {
    const MakesInUnwinding last{*this};
    const Held held = make_any();
    throw Exception{as_ptr(held), held.id};
  } catch (const Exception& e) {
    const Held held{e.node.get(), e.id};
    pause();
    meet_whole(held);
    put_anywhere(held);
  }
}

void Player::exchange_block() {
  Block mine{.size = 1 + pick(pick(8) == 0 ? 200'000 : 500), .value = static_cast<unsigned char>(random_())};
  mine.bytes = static_cast<unsigned char*>(lull_malloc(mine.size));
  if (mine.bytes == nullptr) throw std::bad_alloc();
  std::fill_n(mine.bytes, mine.size, mine.value);
  Block other;
  {
    std::lock_guard guard(world.blocks_mutex);
    other = std::exchange(world.blocks[pick(kBlocks)], mine);
  }
  for (std::size_t i = 0; i < other.size; ++i)
    if (other.bytes[i] != other.value) fault("byte %zu of a block of %zu was written to", i, other.size);
  lull_free(other.bytes);
}

void Player::start_thread() {
  if (!habits_.may_start_threads) return;
  const std::uint64_t seed = random_();
  blocking_region joining;
  std::thread([&] {
    Habits quiet = habits_;
    quiet.may_start_threads = false;
    quiet.pause = nullptr;  // it runs on its thread's own stack
    Player(seed, quiet).play(50);
  }).join();
}

void Player::collect() {
  if (pick(30) == 0) lull::return_memory();
  else if (pick(3) == 0) lull::collect();
  else lull::collect_young();
}

void Player::make_garbage() {
  for (std::size_t n = pick(64); n > 0; --n) {
    const Held junk = make_shape(pick(64) == 0 ? Shape::bytes : Shape::plain);
    if (pick(16) == 0) set_edge(junk, 0, find());
  }
}

}  // namespace lull::stress

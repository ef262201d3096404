// The oracle stress. Threads mutate one random graph through the whole interface while a shadow records what they have
// made of it. No reachable object is ever scribbled, moved, destroyed or called back for; everything else is gone within
// two full cycles.
//   oracle --mode NAME [--seed N] [--threads N] [--steps N] [--rounds N]     one run; prints its seed; status 0: no fault
//   oracle --modes                                                           the names of the modes
// A run with the same arguments makes the same choices in each thread; how threads interleave is the machine's.
// tests/stress/soak.py runs it for hours, and looks for the smallest run that fails.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <random>

#include <pthread.h>
#include <sys/mman.h>

#include "gc/cycle/crew.h"
#include "gc/cycle/driver.h"
#include "tests/stress/disturb.h"
#include "tests/stress/modes.h"
#include "tests/stress/on_fibers.h"
#include "tests/stress/player.h"

namespace lull::stress {
namespace {

using lull::testing::elsewhere;
using lull::testing::Hidden;
using lull::testing::is_allocated;

struct Run {
  const Mode* mode = nullptr;
  std::uint64_t seed = 0;
  int threads = 4, steps = 2000, rounds = 3;
};

unsigned long long number(Id id) { return id; }

// Between rounds.

std::vector<Id> roots_of_the_graph() {
  std::vector<Id> roots;
  for (const Edge& edge : world.root_edges) roots.push_back(edge.target);
  for (const atomic_ptr<Node>& slot : world.slots->nodes) roots.push_back(identify(slot.load().get()).id);
  roots.insert(roots.end(), world.key_ids.begin(), world.key_ids.end());
  for (const Strand& strand : world.strands) roots.insert(roots.end(), {strand.kept, strand.mail_id});
  return roots;
}

void check_weak(const Record& r, Id id, const std::vector<bool>& reachable, const char* when) {
  const auto& watcher = *r.base.as<Watcher>();
  for (std::size_t i = 0; i < r.watched.size(); ++i) {
    const Id target = r.watched[i];
    const Node* seen = watcher.watched[i].lock().get();
    if (target != kNone && reachable[target]) {
      if (seen != world.shadow[target].base.as<Node>()) fault("%s: a weak pointer of object %llu has lost object %llu", when, number(id), number(target));
    } else if (seen != nullptr && !seen->is_whole()) {
      fault("%s: a weak pointer of object %llu yields what is gone", when, number(id));
    }
  }
}

void check_map(const Record& r, Id id, const std::vector<bool>& reachable, const char* when) {
  const auto& map = r.base.as<Keeper>()->map;
  for (const auto& [key, value] : r.entries) {
    if (!reachable[key]) continue;
    const Node* seen = map.find(ptr<Node>(world.shadow[key].base.as<Node>())).get();
    if (seen != world.shadow[value].base.as<Node>()) fault("%s: map %llu has lost the value of object %llu", when, number(id), number(key));
  }
}

void check_reachable(Id id, const Record& r, const std::vector<bool>& reachable, const char* when) {
  const Held held{r.base.as<Node>(), id};
  const gc::ObjectRef object = gc::resolve(r.base.address());
  if (!object || object.address() != r.base.address()) fault("%s: object %llu was freed", when, number(id));
  meet_whole(held);
  for (std::size_t i = 0; i < r.edges.size(); ++i)
    if (edge_of(held, i).get() != address_of(r.edges[i])) fault("%s: edge %zu of object %llu is wrong", when, i, number(id));
  if (r.shape == Shape::watcher) check_weak(r, id, reachable, when);
  if (r.shape == Shape::keeper) check_map(r, id, reachable, when);
}

void check_keys(const char* when) {
  for (std::size_t key = 0; key < kKeys; ++key) {
    const auto entry = world.map.find(key);
    if ((entry ? identify(entry->second.get()).id : kNone) != world.key_ids[key]) fault("%s: key %zu leads to another object", when, key);
  }
}

void check_all_reachable(const std::vector<bool>& reachable, const char* when) {
  check_keys(when);
  world.shadow.for_each([&](Id id, Record& r) {
    if (reachable[id]) check_reachable(id, r, reachable, when);
  });
}

bool is_still_there(Id id, const Record& r) {
  const Node* p = r.base.as<Node>();
  return is_allocated(r.base) && __atomic_load_n(&p->id, __ATOMIC_RELAXED) == id && __atomic_load_n(&p->check, __ATOMIC_RELAXED) == (id ^ kCheck);
}

void check_gone(Id id, const Record& r) {
  if (is_still_there(id, r)) fault("object %llu (shape %d) is unreachable and still there after six cycles", number(id), static_cast<int>(r.shape));
  if (r.shape == Shape::doomed && r.destroyed.load() != 1) fault("the destructor of object %llu ran %d times", number(id), r.destroyed.load());
  if (r.callbacks_run.load() != r.callbacks_due.load())
    fault("of %d callbacks for object %llu %d have run", r.callbacks_due.load(), number(id), r.callbacks_run.load());
}

// No weak pointer and no map may show what is gone.
void check_nothing_shows(const std::vector<bool>& reachable) {
  world.shadow.for_each([&](Id id, Record& r) {
    if (!reachable[id]) return;
    for (std::size_t i = 0; i < r.watched.size(); ++i)
      if (r.watched[i] != kNone && !reachable[r.watched[i]] && !r.base.as<Watcher>()->watched[i].expired())
        fault("a weak pointer of object %llu outlives object %llu", number(id), number(r.watched[i]));
    if (r.shape == Shape::keeper)
      r.base.as<Keeper>()->map.for_each([&](const ptr<Node>& key, const ptr<Node>&) {
        if (const Held k = identify(key.get()); !reachable[k.id]) fault("map %llu still shows object %llu", number(id), number(k.id));
      });
  });
}

void collect_twice() {
  for (int i = 0; i < 2; ++i) {
    lull::collect();
    lull::wait_for_finalizers();
  }
}

// As elsewhere(), on a stack that nobody has used: the C library gives a thread the stack of one that has ended, with what that
// one left in its uppermost frames.
template <class Body>
void on_a_fresh_stack(Body body) {
  constexpr std::size_t kBytes = 1 << 20;
  void* stack = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  pthread_attr_t attributes;
  ::pthread_attr_init(&attributes);
  ::pthread_attr_setstack(&attributes, stack, kBytes);
  pthread_t thread;
  const auto run = [](void* argument) -> void* {
    (*static_cast<Body*>(argument))();
    return nullptr;
  };
  if (stack == MAP_FAILED || ::pthread_create(&thread, &attributes, run, &body) != 0) fault("cannot start a thread");
  {
    blocking_region joining;
    ::pthread_join(thread, nullptr);
  }
  ::pthread_attr_destroy(&attributes);
  ::munmap(stack, kBytes);
}

std::size_t still_there(const std::vector<bool>& reachable) {
  std::size_t n = 0;
  world.shadow.for_each([&](Id id, Record& r) { n += !reachable[id] && is_still_there(id, r); });
  return n;
}

// Two cycles take everything, but for what a stale word in a register of the thread of destructors, interrupted just when it says
// that it is done, keeps a little longer.
void collect_until_gone(const std::vector<bool>& reachable) {
  constexpr int kTries = 3;
  std::size_t late = 0;
  for (int i = 0; i < kTries; ++i) {
    on_a_fresh_stack(collect_twice);
    on_a_fresh_stack([&] { late = still_there(reachable); });
    if (late == 0) return;
    std::printf("%zu objects are unreachable and still there after %d cycles\n", late, 2 * (i + 1));
  }
}

// All of it on threads that end: no stack but theirs ever holds an address.
std::size_t check_round() {
  std::vector<bool> reachable;
  on_a_fresh_stack([&] {
    reachable = world.shadow.reachable_from(roots_of_the_graph());
    check_all_reachable(reachable, "before the cycles");
  });
  collect_until_gone(reachable);
  on_a_fresh_stack([&] {
    check_all_reachable(reachable, "after the cycles");
    check_nothing_shows(reachable);
    world.shadow.for_each([&](Id id, Record& r) {
      if (!reachable[id]) check_gone(id, r);
    });
  });
  world.shadow.forget_unreachable(reachable);
  std::size_t left = 0;
  world.shadow.for_each([&](Id, Record&) { ++left; });
  return left;
}

void prune(std::mt19937_64& random, std::size_t left) {
  constexpr std::size_t kMost = 20'000;
  if (left <= kMost) return;
  elsewhere([&] {
    for (std::size_t i = 0; i < kRoots; ++i)
      if (random() % 2 == 0) {
        world.root_edges[i] = {};
        world.roots[i] = nullptr;
      }
    for (atomic_ptr<Node>& slot : world.slots->nodes)
      if (random() % 2 == 0) slot.store(nullptr);
    for (std::size_t key = 0; key < kKeys; ++key)
      if (random() % 2 == 0) {
        world.map.erase(key);
        world.key_ids[key] = kNone;
      }
    for (Strand& strand : world.strands)
      if (random() % 2 == 0) {
        strand.body = nullptr;
        strand.kept = kNone;
      }
  });
}

// A round.

int threads_of(const Run& run) { return run.threads * run.mode->threads_times; }

void play_round(const Run& run, std::uint64_t seed) {
  std::atomic<int> ready{0};
  std::atomic<bool> go{false};
  Habits habits;
  habits.may_start_threads = !run.mode->failing_mappings;
  habits.many_mappings = run.mode->failing_mappings;
  const int steps = run.steps * run.mode->per_mille_of_steps / 1000;
  std::optional<PlayersOnFibers> fibers;
  if (run.mode->fibers_a_thread > 0) fibers.emplace(threads_of(run) * run.mode->fibers_a_thread, seed, habits, steps / run.mode->fibers_a_thread);
  std::vector<std::thread> threads;
  for (int t = 0; t < threads_of(run); ++t)
    threads.emplace_back([&, t] {
      attach_thread();
      std::optional<SignalStorm> storm;
      if (run.mode->signals) storm.emplace();
      ++ready;
      {
        blocking_region waiting;
        while (!go) std::this_thread::yield();
      }
      if (fibers) fibers->run_some();
      else Player(seed + static_cast<std::uint64_t>(t), habits).play(steps);
    });
  blocking_region joining;
  while (ready != threads_of(run)) std::this_thread::yield();
  {
    std::optional<FailingMappings> failing;
    std::optional<JumpingClocks> jumping;
    if (run.mode->failing_mappings) failing.emplace(seed ^ 1);
    if (run.mode->jumping_clocks) jumping.emplace(seed ^ 2);
    go = true;
    for (std::thread& t : threads) t.join();
  }
}

void set_options(const Mode& mode) {
  gc::read_options();
  gc::options.scribble = 1;
  gc::parse_debug_options(mode.debug, gc::options);
  if (mode.kinds == Kinds::young) gc::force_kind(gc::ForcedKind::young);
  gc::crew.set_workers_for_testing(mode.workers);
  lull::set_gc_percent(mode.percent);
}

void play(const Run& run) {
  set_options(*run.mode);
  elsewhere([] { world.slots = make<Slots>(); });
  std::mt19937_64 random(run.seed);
  std::size_t left = 0;
  for (int round = 0; round < run.rounds; ++round) {
    play_round(run, random());
    left = check_round();
    prune(random, left);
  }
  const mem_stats stats = read_mem_stats();
  std::printf("%s seed %llu: %llu met, %zu alive at the end, %u cycles, %llu aborted, %llu answers by signal, %llu times out of memory\n",
              run.mode->name.data(), static_cast<unsigned long long>(run.seed), static_cast<unsigned long long>(world.met.load()), left,
              stats.num_gc, static_cast<unsigned long long>(stats.aborted_cycles), static_cast<unsigned long long>(stats.async_answers),
              static_cast<unsigned long long>(world.out_of_memory.load()));
}

// The command line.

int usage() {
  std::fprintf(stderr, "usage: oracle --mode NAME [--seed N] [--threads N] [--steps N] [--rounds N] | --modes\n");
  return 2;
}

bool set_number(Run& run, const char* name, const char* text) {
  const unsigned long long value = std::strtoull(text, nullptr, 0);
  if (std::strcmp(name, "--seed") == 0) run.seed = value;
  else if (std::strcmp(name, "--threads") == 0) run.threads = static_cast<int>(value);
  else if (std::strcmp(name, "--steps") == 0) run.steps = static_cast<int>(value);
  else if (std::strcmp(name, "--rounds") == 0) run.rounds = static_cast<int>(value);
  else return false;
  return true;
}

int list_modes() {
  for (const Mode& mode : kModes) std::printf("%s\n", mode.name.data());
  return 0;
}

int run_oracle(int count, char** arguments) {
  if (count == 2 && std::strcmp(arguments[1], "--modes") == 0) return list_modes();
  Run run;
  run.seed = std::random_device()();
  for (int i = 1; i + 1 < count; i += 2) {
    if (std::strcmp(arguments[i], "--mode") == 0) run.mode = find_mode(arguments[i + 1]);
    else if (!set_number(run, arguments[i], arguments[i + 1])) return usage();
  }
  if (run.mode == nullptr || count % 2 == 0) return usage();
  std::printf("oracle --mode %s --seed %llu --threads %d --steps %d --rounds %d\n", run.mode->name.data(), static_cast<unsigned long long>(run.seed),
              run.threads, run.steps, run.rounds);
  std::fflush(stdout);
  play(run);
  return 0;
}

}  // namespace
}  // namespace lull::stress

int main(int count, char** arguments) { return lull::stress::run_oracle(count, arguments); }

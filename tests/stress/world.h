// What the threads of a run share: the graph's roots and slots, its shadow, and the way to report a fault.
#pragma once

#include <array>
#include <memory>
#include <mutex>

#include "lull/concurrent_map.h"
#include "lull/coroutine.h"
#include "lull/pool.h"
#include "tests/stress/shadow.h"

namespace lull::stress {

inline constexpr std::size_t kRoots = 256, kSlots = 64, kBlocks = 32, kKeys = 200, kPools = 3, kStrands = 40;

// Written by any thread at any time, without a lock. The shadow learns what they hold between rounds.
struct Slots {
  atomic_ptr<Node> nodes[kSlots];
  void trace(tracer& t) const { t(nodes); }
};

struct Block {  // of malloc, on its way from thread to thread
  unsigned char* bytes = nullptr;
  std::size_t size = 0;
  unsigned char value = 0;
};

// What the pools hold. Not of the graph: it refers to an object of the graph while somebody has it.
struct Pooled {
  explicit Pooled(std::uint64_t number) : tag(number), check(number ^ kCheck) {}
  std::uint64_t tag, check;  // of the pool that made it
  std::atomic<int> users{0};
  ptr<Node> edge;
  void reset();
  void trace(tracer& t) const { t(edge); }
};
struct PoolSlot {
  std::atomic<int> users{0};
  std::atomic<bool> closed{false};
  std::unique_ptr<lull::pool<Pooled>> pool;
  std::uint64_t tag = 0;
};

struct StrandBody {
  explicit StrandBody(generator<Id>&& of) : body(std::move(of)) {}
  Id advance() {
    if (!begun) return begun = true, *body.begin();
    generator<Id>::iterator at(body);
    return *++at;
  }
  generator<Id> body;
  bool begun = false;
  void trace(tracer& t) const { t(body); }
};
struct Strand {
  PollingLock lock;  // the members below
  root<StrandBody> body;
  Id kept = kNone;
  root<Node> mail;
  Id mail_id = kNone;
};

struct World {
  Shadow shadow;
  std::array<root<char>, kRoots> roots;
  std::array<Edge, kRoots> root_edges;    // root_locks
  std::array<PollingLock, kRoots> root_locks;
  root<Slots> slots;
  std::array<Block, kBlocks> blocks;      // blocks_mutex
  std::mutex blocks_mutex;                // held for no call of lull
  concurrent_map<std::uint64_t, ptr<Node>> map;
  std::array<Id, kKeys> key_ids{};        // key_locks
  std::array<PollingLock, kKeys> key_locks;
  std::array<PoolSlot, kPools> pools;
  std::array<Strand, kStrands> strands;
  std::atomic<std::uint64_t> out_of_memory{0}, met{0};
};
extern World& world;  // never destroyed: destructors may run while the process exits

// Prints what is wrong and stops the process.
[[gnu::format(printf, 1, 2)]] [[noreturn]] void fault(const char* format, ...);

// An object that the calling thread holds on its stack.
struct Held {
  Node* p = nullptr;
  Id id = kNone;
  explicit operator bool() const { return p != nullptr; }
};

// Is it whole, is it who it should be, and has nobody destroyed it?
void meet(const Held& held);
// Who is at `p`? A fault unless it is a whole object that the shadow knows at that address.
Held identify(Node* p);
// The payload too.
void meet_whole(const Held& held);

ptr<char>& edge_of(const Held& held, std::size_t i);  // the slot itself; under the holder's lock
char* address_of(const Edge& edge);                   // as the shadow knows it

}  // namespace lull::stress

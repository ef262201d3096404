// Allocation storm: threads that do nothing but allocate, 16 to 1024 bytes, mostly small; one object in 16 stays in a ring of
// 20,000 a thread and refers to the one before it there. More threads than processors: the collector has to fight for its share.
//
//   storm_MEMORY [threads = 4] [million objects in all = 40]

#include <array>
#include <atomic>
#include <thread>

#include "bench/gc/program.h"

namespace {

using bench::Field;
using bench::Local;
using bench::Memory;

constexpr std::size_t kRing = 20'000, kMostBytes = 1024;

struct Node {
  Node(Memory::Array<char> p, std::uint64_t n) noexcept : payload(std::move(p)), number(n) {}
  template <class Tracer>
  void trace(Tracer& t) const { t(payload); }

  Memory::Array<char> payload;
  std::uint64_t number;
};

// Half of all objects are below 64 bytes.
std::size_t bytes_of(std::uint64_t dice) { return 16 + (dice & 0xff) * (dice >> 8 & 0xff) * (kMostBytes - 16) / (255 * 255); }

void drop([[maybe_unused]] const Local<Node>& node) {
  if constexpr (Memory::explicit_free) {
    Memory::free_array(node->payload);
    Memory::free(&*node);
  }
}

bool allocate(std::uint64_t seed, std::size_t objects) {
  auto ring = Memory::make_table<Node>(kRing);
  bench::Random random(seed);
  bool right = true;
  for (std::size_t i = 0; i < objects; ++i) {
    const std::uint64_t dice = random.next();
    const std::size_t bytes = bytes_of(dice);
    auto payload = Memory::make_array<char>(bytes);
    payload[bytes - 1] = static_cast<char>(i);
    auto node = Memory::make<Node>(std::move(payload), i);
    if (i % 16 != 0) {
      drop(node);
      continue;
    }
    Field<Node>& slot = ring[i / 16 % kRing];
    if (slot != nullptr) {
      right &= slot->number == i - 16 * kRing && slot->payload[0] == 0;
      drop(Memory::load(slot));
    }
    slot = Memory::field(std::move(node));
  }
  for (std::size_t i = 0; i < kRing; ++i)
    if (ring[i] != nullptr) drop(Memory::load(ring[i]));
  return right;
}

}  // namespace

int main(int argc, char** argv) {
  bench::Program program("storm", argc, argv);
  const auto threads = program.next<std::size_t>("threads", 4), objects = program.next<std::size_t>("millions", 40) * 1'000'000;
  std::atomic<bool> right{true};
  std::vector<std::thread> all;
  for (std::size_t t = 0; t < threads; ++t) {
    all.emplace_back([&, t] {
      typename Memory::ThreadScope scope;
      if (!allocate(t, objects / threads)) right = false;
    });
  }
  {
    Memory::BlockingScope blocking;
    for (auto& thread : all) thread.join();
  }
  program.check(right, "a ring is damaged");
  return program.end();
}

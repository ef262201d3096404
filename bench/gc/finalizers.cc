// Finalizer storm: objects with a destructor, made as fast as possible; every tenth lives for a while in a ring of 100,000.
// The run ends when every destructor has run: collectors have to find the last of them, too.
//
//   finalizers_MEMORY [thousand objects = 3000]

#include <atomic>
#include <chrono>
#include <thread>

#include "bench/gc/program.h"

namespace {

using bench::Memory;

constexpr std::size_t kRing = 100'000;
constexpr int kTries = 1000;
constexpr std::uint64_t kStale = 100;  // so many may be kept for ever by stale words on the stack

std::atomic<std::uint64_t> destroyed{0};

struct Resource {
  explicit Resource(std::uint64_t n) noexcept : number(n) {}
  ~Resource() { destroyed.fetch_add(number != ~std::uint64_t{0}, std::memory_order_relaxed); }
  template <class Tracer>
  void trace(Tracer&) const {}

  std::uint64_t number, payload[3] = {};
};

void make_all(std::uint64_t objects) {
  auto ring = Memory::make_table<Resource>(kRing);
  for (std::uint64_t i = 0; i < objects; ++i) {
    auto fresh = Memory::make_finalized<Resource>(i);
    if (i % 10 != 0) {
      Memory::free(&*fresh);
      continue;
    }
    auto& slot = ring[i / 10 % kRing];
    [[maybe_unused]] Resource* old = &*slot;
    slot = Memory::field(std::move(fresh));
    if constexpr (Memory::explicit_free)
      if (old != nullptr) Memory::free(old);
  }
  for (std::size_t i = 0; i < kRing; ++i) {
    if constexpr (Memory::explicit_free)
      if (ring[i] != nullptr) Memory::free(&*ring[i]);
    ring[i] = nullptr;
  }
}

void wait_for_all(std::uint64_t objects) {
  for (int i = 0; i < kTries && destroyed.load(std::memory_order_relaxed) + kStale < objects; ++i) {
    Memory::collect();
    Memory::BlockingScope blocking;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

}  // namespace

int main(int argc, char** argv) {
  bench::Program program("finalizers", argc, argv);
  const auto objects = program.next<std::uint64_t>("thousands", 3000) * 1000;
  make_all(objects);
  program.add("destroyed_at_end", destroyed.load());
  wait_for_all(objects);
  program.check(destroyed <= objects && destroyed + kStale >= objects, "destructors did not run, or ran twice");
  return program.end();
}

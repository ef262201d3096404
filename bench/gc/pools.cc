// Pools beside make() and new/delete: nanoseconds for an object of `bytes` that is taken, used once and given back.
//
//   pools_lull pool|arena_pool|make|new [bytes = 256] [millions = 50]
//
// bytes: 64, 256 or 4096.

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "lull/arena_pool.h"
#include "lull/pool.h"

#include BENCH_MEMORY

namespace {

template <std::size_t Bytes>
struct Request {
  std::array<std::uint64_t, Bytes / 8> words;
  void reset() { words[0] = 0; }
};
}  // namespace
template <std::size_t Bytes>
struct lull::no_pointers<Request<Bytes>> : std::true_type {};
namespace {

template <class T>
void use(T* object, std::uint64_t i) {
  object->words[0] = i;
  asm volatile("" ::"r"(object) : "memory");
}

template <std::size_t Bytes>
bool run(std::string_view way, std::uint64_t objects) {
  using T = Request<Bytes>;
  lull::pool<T> pool;
  if (way == "pool") {
    for (std::uint64_t i = 0; i < objects; ++i) {
      auto object = pool.get();
      use(object.get(), i);
    }
  } else if (way == "arena_pool") {
    lull::arena_pool<T> slabs;
    for (std::uint64_t i = 0; i < objects; ++i) {
      auto object = slabs.get();
      use(object.get(), i);
    }
  } else if (way == "make") {
    for (std::uint64_t i = 0; i < objects; ++i) use(lull::make<T>().get(), i);
  } else if (way == "new") {
    for (std::uint64_t i = 0; i < objects; ++i) {
      auto* object = new T();
      use(object, i);
      delete object;
    }
  } else {
    return false;
  }
  return true;
}

bool run(std::string_view way, int bytes, std::uint64_t objects) {
  switch (bytes) {
    case 64: return run<64>(way, objects);
    case 256: return run<256>(way, objects);
    case 4096: return run<4096>(way, objects);
  }
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view way = argc > 1 ? argv[1] : "pool";
  const int bytes = argc > 2 ? std::stoi(argv[2]) : 256;
  const std::uint64_t objects = 1'000'000 * (argc > 3 ? std::stoull(argv[3]) : 50);
  bench::Memory::begin();
  bench::Report report("pools", bench::Memory::name);
  const bench::Stopwatch watch;
  if (!run(way, bytes, objects)) {
    std::fputs("pools: pool, arena_pool, make or new; 64, 256 or 4096 bytes\n", stderr);
    return 2;
  }
  report.add("way", std::string(way));
  report.add("bytes", bytes);
  report.add("ns", watch.seconds() * 1e9 / static_cast<double>(objects));
  bench::Memory::add_statistics(report);
  report.print();
}

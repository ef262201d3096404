// Arenas beside make() and new/delete: nanoseconds for an object of 8 bytes that lives until all go at once.
//
//   arenas_lull arena|traced|make|new [thousands of objects a batch = 1000] [batches = 20]
//
// The first batch takes its memory from the kernel and counts like the others.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lull/arena.h"

#include BENCH_MEMORY

namespace {

template <class T>
void keep(T* object) { asm volatile("" ::"r"(object) : "memory"); }

template <class Arena>
void fill(std::size_t objects, std::size_t batches) {
  Arena arena;
  for (std::size_t b = 0; b < batches; ++b) {
    for (std::uint64_t i = 0; i < objects; ++i) keep(&*arena.template make<std::uint64_t>(i));
    arena.reset();
  }
}
void make(std::size_t objects, std::size_t batches) {
  for (std::uint64_t i = 0; i < objects * batches; ++i) keep(lull::make<std::uint64_t>(i).get());
}
void new_delete(std::size_t objects, std::size_t batches) {
  std::vector<std::uint64_t*> held(objects);
  for (std::size_t b = 0; b < batches; ++b) {
    for (std::uint64_t i = 0; i < objects; ++i) keep(held[i] = new std::uint64_t(i));
    for (std::uint64_t* object : held) delete object;
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view way = argc > 1 ? argv[1] : "arena";
  const std::size_t objects = 1000 * (argc > 2 ? std::stoull(argv[2]) : 1000), batches = argc > 3 ? std::stoull(argv[3]) : 20;
  bench::Memory::begin();
  bench::Report report("arenas", bench::Memory::name);
  const bench::Stopwatch watch;
  if (way == "arena") fill<lull::arena>(objects, batches);
  else if (way == "traced") fill<lull::traced_arena>(objects, batches);
  else if (way == "make") make(objects, batches);
  else if (way == "new") new_delete(objects, batches);
  else {
    std::fputs("arenas: arena, traced, make or new\n", stderr);
    return 2;
  }
  report.add("way", std::string(way));
  report.add("ns", watch.seconds() * 1e9 / static_cast<double>(objects * batches));
  bench::Memory::add_statistics(report);
  report.print();
}

// Blocks that live and die together: made in a heap that is destroyed or reset, or made by malloc and freed one by one.
//
//   heaps [path of a libmimalloc.so, 2 or 3] [rounds = 21]
//
// Three loads: a request (300 blocks), a document (20,000), a table (500,000); sizes 16 to 1024, skewed small; the first word of
// each is written. Every round runs every way once, beginning with another one; printed is the median of ns a block, with
// least and greatest.

#include <dlfcn.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "bench/malloc/object.h"
#include "lull/heap.h"
#include "lull/malloc.h"

namespace {

struct Load {
  const char* name;
  std::size_t blocks, repeats;
};
constexpr Load kLoads[] = {{"request", 300, 1000}, {"document", 20'000, 20}, {"table", 500'000, 1}};

std::vector<std::uint16_t> sizes(std::size_t n) {
  bench::Random random(1);
  std::vector<std::uint16_t> all(n);
  for (auto& size : all) size = static_cast<std::uint16_t>(bench::skewed_size(random, 1024));
  return all;
}

template <class Allocate>
void make_blocks(const std::vector<std::uint16_t>& wanted, Allocate&& allocate, std::vector<void*>& made) {
  made.clear();
  for (const std::uint16_t size : wanted) {
    void* block = allocate(size);
    if (block == nullptr) bench::fail("out of memory");
    *static_cast<std::size_t*>(block) = size;
    made.push_back(block);  // also where nobody frees them one by one: the load is the same
  }
}

using Run = std::function<void(const std::vector<std::uint16_t>&, std::vector<void*>&)>;
struct Way {
  std::string name;
  Run run;
};

template <class Create, class Allocate, class Destroy>
Run heap_run(Create create, Allocate allocate, Destroy destroy) {
  return [=](const auto& wanted, auto& made) {
    auto* heap = create();
    make_blocks(wanted, [&](std::size_t size) { return allocate(heap, size); }, made);
    destroy(heap);
  };
}
template <class Allocate, class Free>
Run single_run(Allocate allocate, Free free) {
  return [=](const auto& wanted, auto& made) {
    make_blocks(wanted, allocate, made);
    for (void* block : made) free(block);
  };
}

std::vector<Way> ways_of_lull() {
  static lull_heap* kept = lull_heap_create(0);
  return {
      {"heap, destroyed", heap_run([] { return lull_heap_create(0); }, lull_heap_malloc, lull_heap_destroy)},
      {"heap, reset", heap_run([] { return kept; }, lull_heap_malloc, lull_heap_reset)},
      {"shared heap, destroyed", heap_run([] { return lull_heap_create(LULL_HEAP_SHARED); }, lull_heap_malloc, lull_heap_destroy)},
      {"heap, freed one by one",
       [](const auto& wanted, auto& made) {
         make_blocks(wanted, [](std::size_t size) { return lull_heap_malloc(kept, size); }, made);
         for (void* block : made) lull_heap_free(kept, block);
       }},
      {"malloc, freed one by one", single_run(lull_malloc, lull_free)},
  };
}

template <class Function>
Function* find(void* library, const char* name) {
  void* found = dlsym(library, name);
  if (found == nullptr) bench::fail(name);
  return reinterpret_cast<Function*>(found);
}

void add_mimalloc(std::vector<Way>& ways, const char* path) {
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) bench::fail(dlerror());
  auto* create = find<void*()>(library, "mi_heap_new");
  auto* allocate = find<void*(void*, std::size_t)>(library, "mi_heap_malloc");
  auto* destroy = find<void(void*)>(library, "mi_heap_destroy");
  ways.push_back({"mimalloc: heap, destroyed", heap_run(create, allocate, destroy)});
  ways.push_back({"mimalloc: malloc, freed one by one",
                  single_run(find<void*(std::size_t)>(library, "mi_malloc"), find<void(void*)>(library, "mi_free"))});
}

double ns_a_block(const Run& run, const Load& load, const std::vector<std::uint16_t>& wanted, std::vector<void*>& made) {
  const auto start = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i < load.repeats; ++i) run(wanted, made);
  const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
  return took.count() / static_cast<double>(load.blocks * load.repeats);
}

}  // namespace

int main(int argc, char** argv) {
  const bench::Arguments arguments(argc, argv);
  std::vector<Way> ways = ways_of_lull();
  if (argc > 1 && *argv[1] != '\0') add_mimalloc(ways, argv[1]);
  const std::size_t rounds = arguments.number(2, 21);
  for (const Load& load : kLoads) {
    const auto wanted = sizes(load.blocks);
    std::vector<void*> made;
    std::vector<std::vector<double>> figures(ways.size());
    for (std::size_t round = 0; round < rounds + 1; ++round)
      for (std::size_t i = 0; i < ways.size(); ++i) {
        const std::size_t way = (round + i) % ways.size();
        const double ns = ns_a_block(ways[way].run, load, wanted, made);
        if (round > 0) figures[way].push_back(ns);  // the first is a rehearsal
      }
    std::printf("%s: %zu blocks\n", load.name, load.blocks);
    for (std::size_t way = 0; way < ways.size(); ++way) {
      std::sort(figures[way].begin(), figures[way].end());
      std::printf("  %-36s %6.2f ns a block (%.2f to %.2f)\n", ways[way].name.c_str(), figures[way][figures[way].size() / 2],
                  figures[way].front(), figures[way].back());
    }
  }
}

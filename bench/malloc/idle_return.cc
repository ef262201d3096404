// What goes back to the kernel from an idle program: it grows to 1 GB by churn, frees all but a sparse 2 %,
// idles.
//
//   idle_return small | mixed [megabytes = 1000] [idle seconds = 10] [one survivor in = 50] [turns = 0]
//
// small: 16 bytes to 1 KiB, skewed small, so most pages hold a survivor. mixed: log-uniform from 16 bytes to
// 32 KiB. turns: before it idles the program works on quietly, two seconds a turn, in which as many random
// survivors are replaced by new objects as there are. Prints key=value pairs: resident MiB at the peak, after
// the frees, and after idling; returned, the share of the free memory (peak - live) that went back; possible,
// the share that lies on pages without a survivor; and the one as a share of the other. Memory that the kernel
// may take but has not (MADV_FREE) counts as returned.

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>
#include <vector>

#include "bench/malloc/object.h"
#include "bench/malloc/resident.h"

namespace {

constexpr double kMiB = 1 << 20;
constexpr std::uintptr_t kPage = 4096;

double resident_mib() { return bench::resident_kib() / 1024; }

// Grows until `goal` bytes are live; each object made costs an older one its life with probability 1/2.
std::vector<bench::Object*> churn_up_to(std::size_t goal, std::size_t (*choose)(bench::Random&)) {
  bench::Random random(11);
  std::vector<bench::Object*> objects;
  objects.reserve(goal / 40);  // or the vector's own growth is the peak
  for (std::size_t live = 0; live < goal;) {
    objects.push_back(bench::make_object(choose(random)));
    std::memset(objects.back() + 1, 1,
                objects.back()->bytes - sizeof(bench::Object) - 1);  // all of it resident
    live += objects.back()->bytes;
    if (random.below(2) == 0) continue;
    auto& victim = objects[random.below(objects.size())];
    live -= victim->bytes;
    bench::drop_object(victim);
    victim = objects.back();
    objects.pop_back();
  }
  return objects;
}

void drop_but_every(std::size_t survivor_every, std::vector<bench::Object*>& objects) {
  std::sort(objects.begin(), objects.end());  // survivors evenly spread over the memory
  std::size_t kept = 0;
  for (std::size_t i = 0; i < objects.size(); ++i) {
    if (i % survivor_every == 0) {
      objects[kept++] = objects[i];
    } else {
      bench::drop_object(objects[i]);
    }
  }
  objects.resize(kept);
}

void replace_survivors(std::size_t turns, std::vector<bench::Object*>& objects, std::size_t (*choose)(bench::Random&)) {
  constexpr std::size_t kSlices = 20;
  bench::Random random(12);
  for (std::size_t slice = 0; slice < turns * kSlices; ++slice) {
    for (std::size_t i = 0; i < objects.size() / kSlices; ++i) {
      auto& object = objects[random.below(objects.size())];
      bench::drop_object(object);
      object = bench::make_object(choose(random));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  std::sort(objects.begin(), objects.end());
}

struct Survivors {
  std::size_t bytes = 0;
  std::size_t pages = 0;
};

Survivors measure(const std::vector<bench::Object*>& objects) {  // in the order of their addresses
  Survivors survivors;
  std::uintptr_t next_page = 0;
  for (const auto* object : objects) {
    const auto start = reinterpret_cast<std::uintptr_t>(object);
    const std::uintptr_t first = std::max(start / kPage, next_page);
    next_page = (start + object->bytes - 1) / kPage + 1;
    survivors.bytes += object->bytes;
    survivors.pages += next_page > first ? next_page - first : 0;
  }
  return survivors;
}

std::size_t small_size(bench::Random& random) { return bench::skewed_size(random, 1024); }
std::size_t mixed_size(bench::Random& random) { return bench::log_uniform_size(random, 4, 15); }

}  // namespace

int main(int argc, char** argv) {
  const bench::Arguments arguments(argc, argv);
  const auto choose = arguments.word(1, "mixed") == "small" ? small_size : mixed_size;
  const double base = resident_mib();
  auto objects = churn_up_to(1'000'000 * arguments.number(2, 1000), choose);
  const double own =
      static_cast<double>(objects.size() * sizeof(objects[0])) / kMiB + base;  // not the subject
  const double peak = resident_mib() - own;
  drop_but_every(arguments.number(4, 50), objects);
  const double freed = resident_mib() - own;
  replace_survivors(arguments.number(5, 0), objects, choose);
  std::this_thread::sleep_for(std::chrono::seconds(arguments.number(3, 10)));
  const double idle = resident_mib() - own;
  const Survivors survivors = measure(objects);
  const double live = static_cast<double>(survivors.bytes) / kMiB;
  const double pinned = static_cast<double>(survivors.pages * kPage) / kMiB;
  const double returned = std::max(0.0, 100 * (peak - idle) / (peak - live));
  const double possible = std::max(0.1, 100 * (peak - pinned) / (peak - live));
  std::printf(
      "peak_mib=%.1f freed_mib=%.1f idle_mib=%.1f live_mib=%.1f returned_pct=%.1f possible_pct=%.1f "
      "of_possible_pct=%.1f\n",
      peak, freed, idle, live, returned, possible, 100 * returned / possible);
}

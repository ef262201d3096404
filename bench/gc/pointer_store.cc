// Pointer stores into objects: nanoseconds for one.
//
//   pointer_store_MEMORY [random | sequential] [MiB = 1] [idle | marking] [millions = 50]
//
// 64-byte objects, MiB of them, hang off one table. The loop overwrites a pointer in each, object after object, in random
// or in address order, each time with another object's address. marking: another thread collects without pause meanwhile.

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <string_view>
#include <thread>

#include BENCH_MEMORY

namespace {

using bench::Memory;

struct Object {
  template <class Tracer>
  void trace(Tracer& t) const { t(target); }

  Memory::Field<Object> target = nullptr;  // overwritten all the time
  std::uint64_t number = 0;
  std::array<std::uint64_t, (64 - sizeof(Memory::Field<Object>) - 8) / 8> payload{};
};
static_assert(sizeof(Object) == 64);

using Table = Memory::Table<Object>;  // the objects in the order of the stores

constexpr std::size_t kTargets = 64;  // one object is pointed to by this many in turn

Table make_objects(std::size_t objects, bool random) {
  Table table = Memory::make_table<Object>(objects + kTargets);
  for (std::size_t i = 0; i < objects; ++i) {
    table[i] = Memory::Field<Object>(Memory::make<Object>());
    table[i]->number = i;
  }
  std::sort(table.begin(), table.end() - kTargets, [](const auto& a, const auto& b) { return &*a < &*b; });
  if (random) std::shuffle(table.begin(), table.end() - kTargets, std::mt19937_64(1));
  for (std::size_t i = 0; i < kTargets; ++i) table[objects + i] = table[i];  // so that table[i + distance] needs no wrap
  return table;
}

void store_once_into_each(const Table& table, std::size_t objects, std::size_t distance) {
  for (std::size_t i = 0; i < objects; ++i) table[i]->target = table[i + distance];
  asm volatile("" ::: "memory");  // or all passes but the last would be dead stores
}

// Collects without pause while it exists.
class CollectingThread {
 public:
  CollectingThread()
      : thread_([this] {
          Memory::ThreadScope scope;
          while (!stop_.load(std::memory_order_relaxed)) Memory::collect();
        }) {}
  CollectingThread(const CollectingThread&) = delete;
  CollectingThread& operator=(const CollectingThread&) = delete;
  ~CollectingThread() {
    stop_.store(true, std::memory_order_relaxed);
    thread_.join();
  }

 private:
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

struct NsPerStore {
  double wall = 0;
  double own_cpu = 0;  // processor time of the storing thread: less noisy when the machine is not idle
};

NsPerStore measure(const Table& table, std::size_t objects, std::uint64_t stores) {
  const std::size_t passes = std::max<std::size_t>(1, stores / objects);
  const double ns_per_store = 1e9 / static_cast<double>(passes * objects);
  const bench::Stopwatch watch;
  const double cpu_before = bench::processor_seconds(CLOCK_THREAD_CPUTIME_ID);
  for (std::size_t pass = 0; pass < passes; ++pass) store_once_into_each(table, objects, 1 + pass % kTargets);
  const double cpu = bench::processor_seconds(CLOCK_THREAD_CPUTIME_ID) - cpu_before;
  return {watch.seconds() * ns_per_store, cpu * ns_per_store};
}

// What the objects point to is every object once again.
void check_targets(const Table& table, std::size_t objects) {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < objects; ++i) sum += table[i]->target->number;
  if (sum == objects * (objects - 1) / 2) return;
  std::fputs("pointer_store: an object is lost\n", stderr);
  std::exit(1);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view order = argc > 1 ? argv[1] : "random";
  const std::size_t mib = argc > 2 ? std::stoull(argv[2]) : 1;
  const std::string_view mode = argc > 3 ? argv[3] : "idle";
  const std::uint64_t stores = 1'000'000 * (argc > 4 ? std::stoull(argv[4]) : 50);
  const std::size_t objects = (mib << 20) / sizeof(Object);
  Memory::begin();
  const Table table = make_objects(objects, order == "random");
  Memory::collect();
  store_once_into_each(table, objects, 1);  // warm up

  bench::Report report("pointer_store", Memory::name);
  NsPerStore ns;
  if (mode == "marking") {
    CollectingThread collecting;
    ns = measure(table, objects, stores);
  } else {
    ns = measure(table, objects, stores);
  }
  check_targets(table, objects);
  report.add("order", order);
  report.add("mib", mib);
  report.add("mode", mode);
  report.add("ns", ns.wall);
  report.add("own_cpu_ns", ns.own_cpu);
  Memory::add_statistics(report);
  report.print();
  std::fflush(stdout);
  std::_Exit(0);  // counted pointers would free chains of objects by recursion
}

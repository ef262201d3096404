// lull::concurrent_map beside a std::unordered_map under a std::shared_mutex and oneTBB's maps: millions of operations a second.
//
//   maps lull|shared_mutex|tbb_hash|tbb_unordered [threads = 2] [keys = 1000000] [% reads = 90] [seconds = 3]
//
// Uniform keys, half of them present at the start; what is no read is an insert_or_assign or an erase, one each
// (tbb_unordered cannot erase and assigns instead). Reads copy the value. thread_ns: processor time of the threads an operation,
// their assists included and the collector's own thread not: what to look at where other processes take part of the machine.

#include <time.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

#include "bench/report.h"
#include "lull/concurrent_map.h"
#include "lull/thread.h"

#if __has_include(<tbb/concurrent_hash_map.h>)
#define BENCH_TBB 1
#include <tbb/concurrent_hash_map.h>
#include <tbb/concurrent_unordered_map.h>
#endif

namespace {

using Key = std::uint64_t;
using Value = std::array<std::uint64_t, 4>;

struct LullMap {
  lull::concurrent_map<Key, Value> map;
  bool read(Key key, Value& into) {
    const auto entry = map.find(key);
    if (!entry) return false;
    into = entry->second;
    return true;
  }
  void assign(Key key, const Value& value) { map.insert_or_assign(key, value); }
  void erase(Key key) { map.erase(key); }
};

struct SharedMutexMap {
  std::unordered_map<Key, Value> map;
  std::shared_mutex mutex;
  bool read(Key key, Value& into) {
    const std::shared_lock lock(mutex);
    const auto found = map.find(key);
    if (found == map.end()) return false;
    into = found->second;
    return true;
  }
  void assign(Key key, const Value& value) {
    const std::unique_lock lock(mutex);
    map.insert_or_assign(key, value);
  }
  void erase(Key key) {
    const std::unique_lock lock(mutex);
    map.erase(key);
  }
};

#if BENCH_TBB
struct TbbHashMap {
  using Map = tbb::concurrent_hash_map<Key, Value>;
  Map map;
  bool read(Key key, Value& into) {
    Map::const_accessor found;
    if (!map.find(found, key)) return false;
    into = found->second;
    return true;
  }
  void assign(Key key, const Value& value) {
    Map::accessor place;
    map.insert(place, key);
    place->second = value;
  }
  void erase(Key key) { map.erase(key); }
};
// Values that readers copy while others write them: a lock each would be needed; the race is left in, in its favour.
struct TbbUnorderedMap {
  tbb::concurrent_unordered_map<Key, Value> map;
  bool read(Key key, Value& into) {
    const auto found = map.find(key);
    if (found == map.end()) return false;
    into = found->second;
    return true;
  }
  void assign(Key key, const Value& value) { map[key] = value; }
  void erase(Key key) { map[key] = Value(); }
};
#endif

std::uint64_t next(std::uint64_t& state) {  // splitmix64
  std::uint64_t z = state += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

struct Load {
  unsigned threads;
  std::uint64_t keys;
  unsigned reads;
  double seconds;
};

double thread_seconds() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

struct Result {
  double millions_a_second = -1, thread_ns = 0;
};

template <class Map>
Result run(const Load& load) {
  Map map;
  for (Key k = 0; k < load.keys; k += 2) map.assign(k, Value{{k}});
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> operations{0}, wrong{0};
  std::atomic<double> busy{0};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < load.threads; ++t)
    threads.emplace_back([&, t] {
      std::uint64_t state = t, done = 0, bad = 0;
      const double before = thread_seconds();
      while (!stop.load(std::memory_order_relaxed)) {
        const std::uint64_t r = next(state);
        const Key key = (r >> 16) % load.keys;
        Value value{};
        if (r % 100 < load.reads) bad += map.read(key, value) && value[0] != key && value[0] != 0;
        else if (r % 2 == 0) map.assign(key, Value{{key}});
        else map.erase(key);
        ++done;
      }
      busy += thread_seconds() - before;
      operations += done;
      wrong += bad;
    });
  std::this_thread::sleep_for(std::chrono::duration<double>(load.seconds));
  stop = true;
  for (auto& t : threads) t.join();
  if (wrong != 0) std::fprintf(stderr, "maps: %llu wrong answers\n", static_cast<unsigned long long>(wrong.load())), std::exit(1);
  const auto count = static_cast<double>(operations.load());
  return {count / load.seconds * 1e-6, busy.load() / count * 1e9};
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view way = argc > 1 ? argv[1] : "lull";
  const Load load{argc > 2 ? static_cast<unsigned>(std::stoul(argv[2])) : 2, argc > 3 ? std::stoull(argv[3]) : 1'000'000,
                  argc > 4 ? static_cast<unsigned>(std::stoul(argv[4])) : 90, argc > 5 ? std::stod(argv[5]) : 3};
  bench::Report report("maps", way);
  Result result;
  if (way == "lull") result = run<LullMap>(load);
  if (way == "shared_mutex") result = run<SharedMutexMap>(load);
#if BENCH_TBB
  if (way == "tbb_hash") result = run<TbbHashMap>(load);
  if (way == "tbb_unordered") result = run<TbbUnorderedMap>(load);
#endif
  if (result.millions_a_second < 0) {
    std::fputs("maps: lull, shared_mutex, tbb_hash or tbb_unordered (those with oneTBB's headers)\n", stderr);
    return 2;
  }
  report.add("threads", load.threads);
  report.add("reads", load.reads);
  report.add("millions_a_second", result.millions_a_second);
  report.add("thread_ns", result.thread_ns);
  report.print();
}

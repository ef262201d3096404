// Latency of requests beside a large cache whose entries are replaced all the time.
//
//   cache_latency_MEMORY [million entries = 1] [seconds = 10] [full collections = 0] [file]
//
// An entry is 48 bytes and its payload 160, so a million of them, with the table, is 206 MiB. One thread replaces 200,000
// entries a second in batches of one millisecond. Another serves 5,000 requests a second, each 20 look-ups and 20
// allocations; it busy-waits for the next one, so that no wake-up is measured. The load is open-loop: latency counts from
// the time for which the request was scheduled, so that one long stop is seen by every request that it delays. service_*
// is the time from taking a request up to its end. Every look-up checks that the payload is the entry's own. own_* is the
// processor time that the thread itself spent in it: assists, slow paths and handshakes show there, and on a busy machine nothing else can
// be compared. waited_ms is how long the serving thread was ready to run and did not: the machine's part, and what the
// collector's threads add to it.
//
// With 10 million entries a cycle is due every 40 seconds, so a short run measures none: a third thread asks for so many full
// collections, evenly spread over the run. With explicit free it only sleeps. Into the file, if
// one is named, go the latencies of chosen quantiles.

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include BENCH_MEMORY

namespace {

using bench::Memory;
using Clock = std::chrono::steady_clock;

constexpr auto kRequestInterval = std::chrono::microseconds(200);
constexpr auto kBatchInterval = std::chrono::milliseconds(1);
constexpr int kReplacementsPerBatch = 200;
constexpr int kLookupsPerRequest = 20;
constexpr std::size_t kLocks = 1024;  // fewer: the two threads meet more often

using Payload = std::array<std::uint64_t, 20>;

struct Entry {
  Entry(Memory::Local<Payload> p, std::uint64_t k) noexcept : payload(std::move(p)), key(k) {}
  template <class Tracer>
  void trace(Tracer& t) const { t(payload); }

  Memory::Field<Payload> payload;
  std::uint64_t key;
  std::array<std::uint64_t, 4> uses{};
};
static_assert(sizeof(Entry) == 48);

// Part of an answer.
struct Item {
  Item(Memory::Local<Item> n, std::uint64_t v) noexcept : next(std::move(n)), value(v) {}
  template <class Tracer>
  void trace(Tracer& t) const { t(next); }

  Memory::Field<Item> next;
  std::uint64_t value;
};

// Lives on the stack: its table is a root.
class Cache {
 public:
  explicit Cache(std::size_t entries) : table_(Memory::make_table<Entry>(entries)), entries_(entries) {
    for (std::size_t key = 0; key < entries; ++key) table_[key] = Memory::Field<Entry>(make_entry(key));
  }

  std::size_t entries() const { return entries_; }

  std::uint64_t look_up(std::size_t key) {
    std::lock_guard guard(lock_of(key));
    Entry& entry = *table_[key];
    ++entry.uses[0];
    const std::uint64_t value = (*entry.payload)[key % 20];
    if (value != key || entry.key != key) fail(key);
    return value;
  }

  // The lock is needed with explicit free only; all have it, so that they do the same work.
  void replace(std::size_t key) {
    auto entry = make_entry(key);
    Entry* old;
    {
      std::lock_guard guard(lock_of(key));
      old = &*table_[key];
      table_[key] = Memory::Field<Entry>(entry);
    }
    Memory::free(&*old->payload);
    Memory::free(old);
  }

 private:
  static Memory::Local<Entry> make_entry(std::uint64_t key) {
    auto payload = Memory::make<Payload>();
    payload->fill(key);
    return Memory::make<Entry>(payload, key);
  }
  [[noreturn]] static void fail(std::size_t key) {
    std::fprintf(stderr, "cache_latency: entry %zu is damaged\n", key);
    std::exit(1);
  }
  std::mutex& lock_of(std::size_t key) { return locks_[key % kLocks]; }

  Memory::Table<Entry> table_;
  std::size_t entries_;
  std::vector<std::mutex> locks_{kLocks};
};

std::uint64_t replace_until(const std::atomic<bool>& stop, Cache& cache) {
  std::mt19937_64 random(1);
  std::uint64_t replaced = 0;
  for (auto next = Clock::now(); !stop.load(std::memory_order_relaxed); next += kBatchInterval) {
    for (int i = 0; i < kReplacementsPerBatch; ++i) cache.replace(random() % cache.entries());
    replaced += kReplacementsPerBatch;
    std::this_thread::sleep_until(next + kBatchInterval);
  }
  return replaced;
}

[[maybe_unused]] void release(Item* item) {
  while (item != nullptr) Memory::free(std::exchange(item, &*item->next));
}

void serve(Cache& cache, std::mt19937_64& random) {
  Memory::Local<Item> answer = nullptr;
  for (int i = 0; i < kLookupsPerRequest; ++i) answer = Memory::make<Item>(answer, cache.look_up(random() % cache.entries()));
  asm volatile("" ::"r"(&*answer) : "memory");
  if constexpr (Memory::explicit_free) release(answer);
}

struct Latencies {
  std::vector<double> from_schedule_us, service_us, own_us;
};

Latencies serve_for(double seconds, Cache& cache) {
  std::mt19937_64 random(2);
  Latencies latencies;
  const auto requests = static_cast<std::size_t>(std::chrono::duration<double>(seconds) / kRequestInterval);
  latencies.from_schedule_us.reserve(requests);
  latencies.service_us.reserve(requests);
  latencies.own_us.reserve(requests);
  const auto us = [](Clock::duration d) { return std::chrono::duration<double, std::micro>(d).count(); };
  auto scheduled = Clock::now();
  for (std::size_t i = 0; i < requests; ++i, scheduled += kRequestInterval) {
    auto taken_up = Clock::now();
    while (taken_up < scheduled) taken_up = Clock::now();
    const double own_before = bench::processor_seconds(CLOCK_THREAD_CPUTIME_ID);
    serve(cache, random);
    latencies.own_us.push_back((bench::processor_seconds(CLOCK_THREAD_CPUTIME_ID) - own_before) * 1e6);
    const auto done = Clock::now();
    latencies.from_schedule_us.push_back(us(done - scheduled));
    latencies.service_us.push_back(us(done - taken_up));
  }
  return latencies;
}

// Of the calling thread: /proc/thread-self/schedstat is "running waiting slices", in ns.
double waited_ms() {
  std::ifstream file("/proc/thread-self/schedstat");
  double running = 0, waiting = 0;
  file >> running >> waiting;
  return waiting * 1e-6;
}

void collect_evenly(const std::atomic<bool>& stop, double seconds, int collections) {
  const auto start = Clock::now();
  for (int i = 0; i < collections; ++i) {
    const auto due = start + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds * (i + .5) / collections));
    while (!stop.load(std::memory_order_relaxed) && Clock::now() < due) {
      Memory::BlockingScope blocking;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    Memory::collect();
  }
}

void add_quantiles(bench::Report& report, const std::string& name, std::vector<double> values) {
  std::ranges::sort(values);
  const auto at = [&](double q) { return values[static_cast<std::size_t>(q * static_cast<double>(values.size() - 1))]; };
  report.add(name + "_p50_us", at(.5));
  report.add(name + "_p99_us", at(.99));
  report.add(name + "_p999_us", at(.999));
  report.add(name + "_max_us", at(1));
}

// From the median to the longest, ten points for each power of ten of 1 - quantile.
void write_quantiles(const char* path, std::vector<double> values) {
  std::ranges::sort(values);
  std::ofstream file(path);
  file << "one_in,us\n";
  for (double one_in = 2; one_in <= static_cast<double>(values.size()); one_in *= std::pow(10, .1))
    file << one_in << ',' << values[static_cast<std::size_t>((1 - 1 / one_in) * static_cast<double>(values.size()))] << '\n';
}

}  // namespace

int main(int argc, char** argv) {
  const double millions = argc > 1 ? std::stod(argv[1]) : 1;
  const double seconds = argc > 2 ? std::stod(argv[2]) : 10;
  const int collections = argc > 3 ? std::stoi(argv[3]) : 0;
  Memory::begin();
  bench::Report report("cache_latency", Memory::name);
  Cache cache(static_cast<std::size_t>(millions * 1e6));
  std::atomic<bool> stop{false};
  std::uint64_t replaced = 0;
  std::thread replacer([&] {
    Memory::ThreadScope scope;
    replaced = replace_until(stop, cache);
  });
  std::thread collector([&] {
    Memory::ThreadScope scope;
    collect_evenly(stop, seconds, collections);
  });
  const double gc_before = Memory::gc_seconds(), waited_before = waited_ms();
  const Latencies latencies = serve_for(seconds, cache);
  const double gc_seconds = Memory::gc_seconds() - gc_before, waited = waited_ms() - waited_before;
  stop = true;
  replacer.join();
  collector.join();
  report.add("millions", millions);
  report.add("replaced_per_s", static_cast<double>(replaced) / seconds);
  add_quantiles(report, "latency", latencies.from_schedule_us);
  add_quantiles(report, "service", latencies.service_us);
  add_quantiles(report, "own", latencies.own_us);
  if (argc > 4) write_quantiles(argv[4], latencies.from_schedule_us);
  report.add("waited_ms", waited);
  if (gc_seconds >= 0) report.add("gc_share", gc_seconds / (seconds * std::thread::hardware_concurrency()));
  Memory::add_statistics(report);
  report.print();
}

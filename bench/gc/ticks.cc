// What the collector leaves of a thread's time: threads that do a little work, look at the clock, and note every time between two looks
// that is too long for the work.
//
//   ticks_MEMORY [live MiB = 100] [seconds = 5] [threads = 1] [on | off] [folder]
//
// The live heap is a table of 64-byte nodes behind it, kNodesPerTick of which each thread replaces every 10 us (51 MB/s a
// thread); in between it spins, so a thread that is stopped, made to help, or not given a processor has a gap. off: the same
// with the collector off (set_gc_percent; nothing where there is none), the control. With one thread fewer than processors the
// collector has a processor; with as many, it has to share.
//
// Into the folder go gaps.csv (thread, start and length in us), heap.csv (a line every 10 ms) and, on lull, histograms.csv:
// tools/bench pause draws them. gap_* count gaps only.

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <fstream>
#include <string>
#include <thread>

#include "bench/gc/program.h"

namespace {

using bench::Memory;
using Clock = std::chrono::steady_clock;

constexpr auto kTick = std::chrono::microseconds(10);
constexpr auto kGap = std::chrono::microseconds(20);  // shorter is the work itself, now and then an interrupt
constexpr int kNodesPerTick = 8;

struct Node {
  explicit Node(std::uint64_t n) noexcept : next(nullptr), number(n) {}
  template <class Tracer>
  void trace(Tracer& t) const { t(next); }

  bench::Field<Node> next;
  std::uint64_t number, payload[6] = {};
};
static_assert(sizeof(Node) == 64 || sizeof(bench::Field<Node>) != 8);

double us(Clock::duration d) { return std::chrono::duration<double, std::micro>(d).count(); }

struct Gap {
  double start_us, length_us;
};

// One thread's work on its part of the table.
class Ticker {
 public:
  Ticker(bench::Table<Node>& table, std::size_t begin, std::size_t end) : table_(table), begin_(begin), nodes_(end - begin), random_(begin) {}

  void run(Clock::time_point start, double seconds) {
    gaps.reserve(1 << 16);
    auto last = Clock::now(), next_work = last;
    for (double at = 0; at < seconds * 1e6; at = us(last - start)) {
      if (last >= next_work) {
        work();
        next_work = last + kTick;
      }
      const auto now = Clock::now();
      if (now - last > kGap) gaps.push_back({us(last - start), us(now - last)});
      last = now;
    }
  }

  std::vector<Gap> gaps;

 private:
  void work() {
    for (int i = 0; i < kNodesPerTick; ++i) {
      const std::size_t n = begin_ + random_.below(nodes_);
      auto& slot = table_[n];
      [[maybe_unused]] Node* old = &*slot;
      slot = Memory::field(Memory::make<Node>(n));
      if constexpr (Memory::explicit_free) Memory::free(old);
    }
  }

  bench::Table<Node>& table_;
  std::size_t begin_, nodes_;
  bench::Random random_;
};

double resident_mib() {
  std::ifstream statm("/proc/self/statm");
  double size = 0, resident = 0;
  statm >> size >> resident;
  return resident * 4096 / (1 << 20);
}

// Until `done` of the others are.
void sample_heap(std::ofstream& file, Clock::time_point start, const std::atomic<std::size_t>& done, std::size_t threads) {
  file << "seconds,resident_mib," << Memory::heap_columns() << '\n';
  for (auto next = start; done.load() < threads; next += std::chrono::milliseconds(10)) {
    file << us(Clock::now() - start) * 1e-6 << ',' << resident_mib() << ',' << Memory::heap_sample() << '\n';
    Memory::BlockingScope blocking;
    std::this_thread::sleep_until(next);
  }
}

void write_gaps(const std::string& path, const std::vector<Ticker>& tickers) {
  std::ofstream file(path);
  file << "thread,start_us,length_us\n";
  for (std::size_t t = 0; t < tickers.size(); ++t)
    for (const Gap& gap : tickers[t].gaps) file << t << ',' << gap.start_us << ',' << gap.length_us << '\n';
}

void add_gaps(bench::Program& program, const std::vector<Ticker>& tickers, double seconds) {
  std::vector<double> lengths;
  double lost = 0;
  for (const Ticker& ticker : tickers)
    for (const Gap& gap : ticker.gaps) lengths.push_back(gap.length_us), lost += gap.length_us;
  std::ranges::sort(lengths);
  program.add("gaps", lengths.size());
  program.add("gap_p99_us", lengths.empty() ? 0 : lengths[lengths.size() * 99 / 100]);
  program.add("gap_max_us", lengths.empty() ? 0 : lengths.back());
  program.add("lost_percent", lost / (seconds * 1e4 * static_cast<double>(tickers.size())));
}

}  // namespace

int main(int argc, char** argv) {
  bench::Program program("ticks", argc, argv);
  const auto nodes = program.next<std::size_t>("live_mib", 100) * (1 << 20) / (sizeof(Node) + sizeof(void*));
  const double seconds = program.next("seconds", 5.0);
  const auto threads = program.next<std::size_t>("threads", 1);
  const bool off = program.next<std::string>("collector", "on") == "off";
  const auto folder = program.next<std::string>("folder", ".");
  auto table = Memory::make_table<Node>(nodes);
  for (std::size_t i = 0; i < nodes; ++i) table[i] = Memory::field(Memory::make<Node>(i));
  Memory::collect();
  if (off) Memory::turn_off();

  std::vector<Ticker> tickers;
  for (std::size_t t = 0; t < threads; ++t) tickers.emplace_back(table, nodes * t / threads, nodes * (t + 1) / threads);
  std::atomic<std::size_t> done{0};
  std::vector<std::thread> all;
  program.restart_clock();
  const double gc_before = Memory::gc_seconds();
  const auto start = Clock::now();
  for (Ticker& ticker : tickers) {
    all.emplace_back([&] {
      typename Memory::ThreadScope scope;
      ticker.run(start, seconds);
      ++done;
    });
  }
  std::ofstream heap(folder + "/heap.csv");
  sample_heap(heap, start, done, threads);
  for (auto& thread : all) thread.join();
  if (gc_before >= 0) program.add("gc_cpu_percent", (Memory::gc_seconds() - gc_before) / seconds * 100);

  for (std::size_t i = 0; i < nodes; ++i) program.check(table[i]->number == i, "a node is damaged");
  write_gaps(folder + "/gaps.csv", tickers);
  Memory::write_histograms(folder + "/histograms.csv");
  add_gaps(program, tickers, seconds);
  return program.end();
}

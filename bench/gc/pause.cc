// Pauses: what a thread spends in one handshake operation while the heap is large and everybody is busy.
//
//   pause [live MiB = 100] [seconds = 10] [threads = 1] [bystanders | alone]
//
// The live graph is a table of patches of about 32 KiB, each a tree, a list and an array of small nodes. `threads` threads
// then allocate garbage flat out, exchange parts between patches and replace whole patches, each thread in its own part of
// the table. Bystanders are the three awkward kinds of thread: one that never polls, one that is blocked in the kernel
// outside of a blocking_region, and one with 64 KiB of stack full of references. At the end every patch is counted.
//
// The figures are the collector's own (lull::mem_stats), from the moment the graph is complete; each maximum is that of
// the whole run. control_* is what the machine does to anybody: the same threads, now and then, read 2,000 words with no handshake in sight,
// which takes about as long as a handshake, and take the time as it does; control_cpu_* is the processor time of it. deep_control_cpu_* is that of the thread with the deep
// stack, which copies 8,000 words, as its handshakes do. An interrupt of the timer is in all of these: on a virtual machine it may take 20 us and more, and
// every operation has the same chance for each microsecond it takes. machine_gap_max_us is for comparison: the longest time between two looks at the clock in a loop that does
// nothing else, for a second, with all other threads gone.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "bench/report.h"
#include "lull/lull.h"

namespace {

struct Tree {
  Tree(Tree* l, Tree* r) : left(l), right(r) {}
  void trace(lull::tracer& t) const { t(left, right); }

  lull::ptr<Tree> left, right;
  std::uint64_t payload[4];
};
static_assert(sizeof(Tree) == 48);

struct Link {
  explicit Link(Link* n) : next(n) {}
  void trace(lull::tracer& t) const { t(next); }

  lull::ptr<Link> next;
  std::uint64_t payload[3];
};
static_assert(sizeof(Link) == 32);

struct Patch {
  void trace(lull::tracer& t) const { t(tree, list, links); }

  lull::ptr<Tree> tree;
  lull::ptr<Link> list;
  lull::ptr<lull::ptr<Link>[]> links;  // the links of the list, repeated
};

constexpr int kTreeDepth = 8;
constexpr std::size_t kTreeNodes = (2u << kTreeDepth) - 1;
constexpr std::size_t kListLength = 128;
constexpr std::size_t kArrayLength = 512;
constexpr std::size_t kPatchBytes = sizeof(Patch) + kTreeNodes * sizeof(Tree) + kListLength * sizeof(Link) + kArrayLength * 8;

using Table = lull::ptr<lull::ptr<Patch>[]>;

Tree* make_tree(int depth) {
  if (depth == 0) return lull::make<Tree>(nullptr, nullptr).get();
  Tree* left = make_tree(depth - 1);
  Tree* right = make_tree(depth - 1);
  return lull::make<Tree>(left, right).get();
}

Link* make_list(std::size_t length) {
  Link* first = nullptr;
  for (std::size_t i = 0; i < length; ++i) first = lull::make<Link>(first).get();
  return first;
}

lull::ptr<Patch> make_patch() {
  lull::ptr<Patch> patch = lull::make<Patch>();
  patch->tree = lull::ptr<Tree>(make_tree(kTreeDepth));
  patch->list = lull::ptr<Link>(make_list(kListLength));
  patch->links = lull::make_array<lull::ptr<Link>>(kArrayLength);
  Link* link = patch->list.get();
  for (std::size_t i = 0; i < kArrayLength; ++i) {
    patch->links[i] = lull::ptr<Link>(link);
    link = link->next ? link->next.get() : patch->list.get();
  }
  return patch;
}

std::size_t count(const Tree* tree) { return tree == nullptr ? 0 : 1 + count(tree->left.get()) + count(tree->right.get()); }

bool is_whole(const Patch& patch) {
  std::size_t links = 0;
  for (const Link* link = patch.list.get(); link != nullptr; link = link->next.get()) ++links;
  const bool array = std::ranges::all_of(patch.links, [](const auto& link) { return static_cast<bool>(link); });
  return count(patch.tree.get()) == kTreeNodes && links == kListLength && array;
}

std::uint64_t now_ns(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(time.tv_nsec);
}

void record(lull::histogram& h, std::uint64_t ns) {
  ++h.buckets[lull::histogram::bucket_of(ns)];
  ++h.count;
  h.sum_ns += ns;
  h.max_ns = std::max(h.max_ns, ns);
}

struct Times {
  void merge(const Times& other) {
    clock.merge(other.clock);
    cpu.merge(other.cpu);
  }
  lull::histogram clock, cpu;
};

// The control: about the work of a handshake operation, timed like one.
class Control {
 public:
  void read() {
    time([&] {
      std::uintptr_t sum = 0;
      for (std::size_t i = 0; i < 2000; ++i) sum += static_cast<const volatile std::uintptr_t*>(words_)[i] < 4096;
      asm volatile("" ::"r"(sum));
    });
  }
  void copy() {
    time([&] {
      std::copy(words_, words_ + kWords, copies_);
      asm volatile("" ::"r"(copies_) : "memory");
    });
  }
  const Times& seen() const { return seen_; }

 private:
  template <class Work>
  void time(Work&& work) {
    const std::uint64_t start = now_ns(CLOCK_MONOTONIC), cpu = now_ns(CLOCK_THREAD_CPUTIME_ID);
    work();
    record(seen_.cpu, now_ns(CLOCK_THREAD_CPUTIME_ID) - cpu);
    record(seen_.clock, now_ns(CLOCK_MONOTONIC) - start);
  }
  static constexpr std::size_t kWords = 8000;
  std::uintptr_t words_[kWords] = {}, copies_[kWords] = {};
  Times seen_;
};

// One thread's work on its part of the table.
class Mutator {
 public:
  Mutator(const Table& table, std::size_t part, std::size_t parts)
      : table_(table), first_(table.size() * part / parts), patches_(table.size() * (part + 1) / parts - first_), random_(part + 1) {}

  void run(const std::atomic<bool>& stop) {
    for (std::uint64_t round = 0; !stop.load(std::memory_order_relaxed); ++round) {
      make_list(64);
      make_tree(5);
      exchange_parts(*any_patch(), *any_patch());
      if (round % 32 == 0) any_patch() = make_patch();
      if (round % 8 == 1) control_.read();
    }
  }

  const Times& control() const { return control_.seen(); }

 private:
  lull::ptr<Patch>& any_patch() { return table_[first_ + random_() % patches_]; }

  // Patches stay whole: what is exchanged has the same shape.
  static void exchange_parts(Patch& a, Patch& b) {
    a.tree.swap(b.tree);
    a.tree->left.swap(b.tree->right);
    a.list->next.swap(b.list->next);
  }

  const Table& table_;
  std::size_t first_, patches_;
  std::minstd_rand random_;
  Control control_;
};

// Never polls; answers by signal only.
void spin(const std::atomic<bool>& stop) {
  Tree* held = make_tree(3);
  std::uint64_t turns = 0;
  while (!stop.load(std::memory_order_relaxed)) asm volatile("" : "+r"(turns));
  if (count(held) != 15) std::abort();
}

void block(const std::atomic<bool>& stop) {
  Tree* held = make_tree(3);
  stop.wait(false);
  if (count(held) != 15) std::abort();
}

// Fills about 64 KiB of stack with references, then makes something small five thousand times a second.
void sit_deep(const std::atomic<bool>& stop, int frames, Control& control) {
  Tree* volatile references[64];  // 512 bytes
  for (auto& reference : references) reference = make_tree(1);
  if (frames > 0) {
    sit_deep(stop, frames - 1, control);
  } else {
    while (!stop.load(std::memory_order_relaxed)) {
      make_list(4);
      control.copy();
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
  }
  for (auto& reference : references) {
    if (count(reference) != 3) std::abort();
  }
}

double longest_gap_us(double seconds) {
  const bench::Stopwatch watch;
  double last = 0, longest = 0;
  while (last < seconds) {
    const double now = watch.seconds();
    longest = std::max(longest, now - last);
    last = now;
  }
  return longest * 1e6;
}

// Counts and times of `after` that were not there `before`; the maximum stays that of the whole run.
lull::histogram since(const lull::histogram& before, lull::histogram after) {
  after.count -= before.count;
  after.sum_ns -= before.sum_ns;
  for (std::size_t i = 0; i < lull::histogram::bucket_count; ++i) after.buckets[i] -= before.buckets[i];
  return after;
}

void add_histogram(bench::Report& report, const std::string& name, const lull::histogram& h) {
  const auto us = [](std::uint64_t ns) { return static_cast<double>(ns) / 1000; };
  report.add(name + "_n", h.count);
  report.add(name + "_p50_us", us(h.quantile_ns(.5)));
  report.add(name + "_p99_us", us(h.quantile_ns(.99)));
  report.add(name + "_p999_us", us(h.quantile_ns(.999)));
  report.add(name + "_max_us", us(h.max_ns));
  report.add(name + "_total_s", static_cast<double>(h.sum_ns) * 1e-9);
}

void add_difference(bench::Report& report, const lull::mem_stats& before, const lull::mem_stats& after, double seconds) {
  const double allocated_mib = static_cast<double>(after.total_alloc - before.total_alloc) / (1 << 20);
  report.add("alloc_mib_s", allocated_mib / seconds);
  report.add("cycles", after.num_gc - before.num_gc);
  report.add("global_stops", after.global_stops - before.global_stops);
  report.add("async_answers", after.async_answers - before.async_answers);
  report.add("gc_cpu_s", after.gc_cpu_seconds - before.gc_cpu_seconds);
  report.add("assist_cpu_s", after.assist_cpu_seconds - before.assist_cpu_seconds);
  add_histogram(report, "handshake", since(before.handshake, after.handshake));
  add_histogram(report, "assist", since(before.assist, after.assist));
  add_histogram(report, "alloc_slow", since(before.alloc_slow, after.alloc_slow));
}

// What the controls saw. Not on the stack, as nothing of this size that nobody has touched yet should be: the first answer would fetch its pages.
struct Controls {
  Times usual, deep;
};

std::unique_ptr<Controls> work(const Table& table, double seconds, std::size_t threads, bool bystanders) {
  std::atomic<bool> stop{false};
  std::vector<std::thread> all;
  std::mutex mutex;
  auto controls = std::make_unique<Controls>();
  for (std::size_t part = 0; part < threads; ++part) {
    all.emplace_back([&, part] {
      const auto mutator = std::make_unique<Mutator>(table, part, threads);  // not on the stack: its histogram is no reference
      mutator->run(stop);
      const std::lock_guard lock(mutex);
      controls->usual.merge(mutator->control());
    });
  }
  if (bystanders) {
    all.emplace_back([&] { spin(stop); });
    all.emplace_back([&] { block(stop); });
    all.emplace_back([&] {
      const auto control = std::make_unique<Control>();
      sit_deep(stop, 64 * 1024 / 560, *control);  // a frame is about 560 bytes
      controls->deep = control->seen();
    });
  }
  lull::blocking_region region;
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  stop.store(true);
  stop.notify_all();
  for (auto& thread : all) thread.join();
  return controls;
}

Table make_table(std::size_t mib) {
  Table table = lull::make_array<lull::ptr<Patch>>((mib << 20) / kPatchBytes);
  for (auto& patch : table) patch = make_patch();
  return table;
}

[[gnu::noinline]] std::unique_ptr<const lull::mem_stats> read_stats() { return std::make_unique<const lull::mem_stats>(lull::read_mem_stats()); }

[[gnu::noinline]] void add_times(bench::Report& report, const lull::mem_stats& before, const lull::mem_stats& after, double seconds, const Controls& controls) {
  add_difference(report, before, after, seconds);
  add_histogram(report, "handshake_cpu", since(before.handshake_cpu, after.handshake_cpu));
  add_histogram(report, "control", controls.usual.clock);
  add_histogram(report, "control_cpu", controls.usual.cpu);
  add_histogram(report, "deep_control_cpu", controls.deep.cpu);
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t mib = argc > 1 ? std::stoull(argv[1]) : 100;
  const double seconds = argc > 2 ? std::stod(argv[2]) : 10;
  const std::size_t threads = argc > 3 ? std::stoull(argv[3]) : 1;
  const bool bystanders = argc <= 4 || std::string_view(argv[4]) == "bystanders";
  bench::Report report("pause", "lull");
  const Table table = make_table(mib);
  const auto before = read_stats();
  const auto controls = work(table, seconds, threads, bystanders);
  const auto after = read_stats();
  const auto broken = std::ranges::count_if(table, [](const auto& patch) { return !is_whole(*patch); });
  report.add("live_mib", mib);
  report.add("threads", threads);
  report.add("bystanders", bystanders ? "yes" : "no");
  report.add("broken_patches", broken);
  add_times(report, *before, *after, seconds, *controls);
  report.add("machine_gap_max_us", longest_gap_us(std::min(seconds, 1.0)));
  report.print();
  return broken == 0 ? 0 : 1;
}

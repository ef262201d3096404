// M:N: a few worker threads run 100,000 fibers that park with live stacks, while the collector runs.
//
// Each fiber calls itself to a depth of its own (2 to 16 KiB of stack), holds an object in every frame, and parks at the bottom. Some of them keep
// running, make garbage, hand objects on over a channel, and are stolen from worker to worker. Allocation caches belong to the workers: a
// fiber allocates from that of the thread that it happens to run on. A thread of its own collects, full and young by turns. In the end every
// fiber goes on and looks at what it holds.
//
//   mn [FIBERS [COLLECTIONS [WORKERS [stealing|sharing]]]]     defaults: 100000 10 2 stealing
// With `sharing` all workers take from one queue, so that nearly every fiber goes on in whatever thread.
// Ten collections are some 110 handshake operations, so their p99.9 is the longest one; 100 collections are a thousand. The line `control`
// is what the machine does to anybody: fibers now and then read 2,000 words, which takes as long as an operation, and take their processor time.
#include <atomic>
#include <boost/fiber/all.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <lull/boost_fiber.h>
#include <lull/lull.h>
#include <ctime>
#include <memory>
#include <thread>
#include <vector>

namespace {

struct Node {
  lull::ptr<Node> next;
  std::uint64_t owner = 0, check = 0;
  void trace(lull::tracer& t) const { t(next); }
};

std::uint64_t check_of(std::uint64_t owner) { return owner * 0x9e3779b97f4a7c15 + 1; }

lull::ptr<Node> make_node(std::uint64_t owner) {
  lull::ptr<Node> node = lull::make<Node>();
  node->owner = owner;
  node->check = check_of(owner);
  return node;
}

std::atomic<std::uint64_t> parked{0}, finished{0}, lost{0}, moved{0};
std::atomic<bool> stop{false};

// std::this_thread::get_id() would do, were it not declared to yield the same in all of a function.
[[gnu::noinline]] int this_thread() {
  static std::atomic<int> threads{0};
  thread_local const int number = ++threads;
  asm volatile("");
  return number;
}

bool is_whole(const Node* node, std::uint64_t owner) { return node->owner == owner && node->check == check_of(owner); }

struct Gate {
  boost::fibers::mutex lock;
  boost::fibers::condition_variable opened;
  bool open = false;

  void wait() {
    std::unique_lock guard(lock);
    while (!open) opened.wait(guard);
  }
  void release() {
    {
      std::lock_guard guard(lock);
      open = true;
    }
    opened.notify_all();
  }
};
constexpr std::size_t kGates = 1024;  // one would have every fiber queue for one lock
Gate gates[kGates];

// About half a KiB of stack a call, an object in each.
[[gnu::noinline]] void descend(std::uint64_t id, int depth) {
  volatile char frame[384];
  for (std::size_t i = 0; i < sizeof frame; i += 64) frame[i] = static_cast<char>(depth);
  const lull::ptr<Node> mine = make_node(id);
  if (depth > 0) {
    descend(id, depth - 1);
  } else {
    const int home = this_thread();
    ++parked;
    gates[id % kGates].wait();
    if (this_thread() != home) ++moved;
  }
  if (!is_whole(mine.get(), id) || frame[64] != static_cast<char>(depth)) ++lost;
}

void park(std::uint64_t id) {
  descend(id, 4 + static_cast<int>(id % 29));
  ++finished;
}

// See the top. Fibers of several threads record at the same time.
class Control {
 public:
  void run() {
    const std::uint64_t start = cpu_ns();
    std::uint64_t sum = 0;
    for (const volatile std::uint64_t& word : words_) sum += word;
    asm volatile("" ::"r"(sum));
    const std::uint64_t ns = cpu_ns() - start;
    ++buckets_[lull::histogram::bucket_of(ns)];
    std::uint64_t most = max_ns_;
    while (ns > most && !max_ns_.compare_exchange_weak(most, ns)) {
    }
  }
  lull::histogram seen() const {
    lull::histogram seen;
    for (std::size_t i = 0; i < seen.buckets.size(); ++i) seen.count += seen.buckets[i] = buckets_[i];
    seen.max_ns = max_ns_;
    return seen;
  }

 private:
  static std::uint64_t cpu_ns() {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(time.tv_nsec);
  }
  std::uint64_t words_[2000] = {};
  std::atomic<std::uint64_t> buckets_[lull::histogram::bucket_count] = {}, max_ns_{0};
};
Control control;

// Pairs that hand objects on: the value lies on a parked fiber's stack until the other takes it.
using Channel = boost::fibers::unbuffered_channel<lull::ptr<Node>>;

void produce(std::uint64_t id, Channel& out) {
  int home = this_thread();
  for (std::uint64_t n = 0; !stop; ++n) {
    lull::ptr<Node> list;
    for (std::uint64_t i = 0; i < 8; ++i) {
      lull::ptr<Node> node = make_node(id + n);
      node->next = list;
      list = node;
    }
    out.push(list);
    if (n % 8 == 0) control.run();
    if (const int here = this_thread(); here != home) {
      ++moved;
      home = here;
    }
  }
  out.close();
}

void consume(std::uint64_t id, Channel& in) {
  lull::ptr<Node> list;
  for (std::uint64_t n = 0; in.pop(list) == boost::fibers::channel_op_status::success; ++n)
    for (const Node* node = list.get(); node != nullptr; node = node->next.get())
      if (!is_whole(node, id + n)) ++lost;
}

enum class Scheduling { stealing, sharing };

// Idle workers look for fibers all the time: told to sleep (suspend), they wake for their own fibers only.
void schedule(Scheduling how, unsigned workers) {
  if (how == Scheduling::sharing) boost::fibers::use_scheduling_algorithm<lull::blocking_algorithm<boost::fibers::algo::shared_work>>();
  else boost::fibers::use_scheduling_algorithm<lull::blocking_algorithm<boost::fibers::algo::work_stealing>>(workers);
}

void run_worker(Scheduling how, unsigned workers, boost::fibers::barrier& end) {
  schedule(how, workers);
  end.wait();
}

// Once all are parked. On a thread of its own: shared_work picks a thread's main fiber only when the queue is empty, which it may never be while
// the pairs run.
void collect(std::uint64_t fibers, int collections) {
  using Clock = std::chrono::steady_clock;
  while (parked < fibers) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  std::printf("%llu fibers parked\n", static_cast<unsigned long long>(fibers));
  for (int i = 0; i < collections; ++i) {
    const Clock::time_point start = Clock::now();
    if (i % 2 == 0) lull::collect();
    else lull::collect_young();
    const std::chrono::duration<double, std::milli> took = Clock::now() - start;
    const lull::fiber_stats read = lull::read_fiber_stats();
    std::printf("collection %2d, %-5s  %7.1f ms   %6u stacks read, %7.1f MiB\n", i + 1, i % 2 == 0 ? "full" : "young", took.count(),
                read.stacks_read, static_cast<double>(read.bytes_read) / (1 << 20));
  }
  stop = true;
}

double microseconds(std::uint64_t ns) { return static_cast<double>(ns) / 1000; }

void report(const char* what, const lull::histogram& h) {
  std::printf("%-18s %9llu   p50 %6.1f  p99 %6.1f  p99.9 %6.1f  max %6.1f us\n", what, static_cast<unsigned long long>(h.count),
              microseconds(h.quantile_ns(0.5)), microseconds(h.quantile_ns(0.99)), microseconds(h.quantile_ns(0.999)), microseconds(h.max_ns));
}

// In a function of its own: a snapshot takes 40 KiB of stack, which as a part of main's would be scanned by every collection.
[[gnu::noinline]] void report_all() {
  const lull::mem_stats stats = lull::read_mem_stats();
  report("handshakes", stats.handshake);
  report("handshakes, cpu", stats.handshake_cpu);
  report("control, cpu", control.seen());
  report("scans on resume", lull::read_fiber_stats().resume_scan);
  std::printf("fibers that went on in another thread %llu times\n", static_cast<unsigned long long>(moved.load()));
  std::printf("lost %llu\n", static_cast<unsigned long long>(lost.load()));
}

}  // namespace

int main(int argc, char** argv) {
  const std::uint64_t fibers = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 100'000;
  const int collections = argc > 2 ? std::atoi(argv[2]) : 10;
  const unsigned workers = argc > 3 ? static_cast<unsigned>(std::atoi(argv[3])) : 2;
  const Scheduling how = argc > 4 && std::strcmp(argv[4], "sharing") == 0 ? Scheduling::sharing : Scheduling::stealing;
  constexpr unsigned kPairs = 16;

  boost::fibers::barrier end(workers);
  std::vector<std::thread> threads;
  for (unsigned i = 1; i < workers; ++i) threads.emplace_back(run_worker, how, workers, std::ref(end));
  schedule(how, workers);

  // While a fiber is parked nobody else touches its variables: young cycles need not read it again.
  lull::fiber_stack_allocator<> parking(32 * 1024, lull::parked_stack::stays);
  lull::fiber_stack_allocator<> running(64 * 1024);
  for (std::uint64_t id = 0; id < fibers; ++id)
    boost::fibers::fiber(boost::fibers::launch::post, std::allocator_arg, parking, park, id).detach();
  std::vector<std::unique_ptr<Channel>> channels;
  std::vector<boost::fibers::fiber> active;
  for (unsigned i = 0; i < kPairs; ++i) {
    channels.push_back(std::make_unique<Channel>());
    Channel& channel = *channels.back();
    active.emplace_back(boost::fibers::launch::post, std::allocator_arg, running, [i, &channel] { produce((i + 1ull) << 32, channel); });
    active.emplace_back(boost::fibers::launch::post, std::allocator_arg, running, [i, &channel] { consume((i + 1ull) << 32, channel); });
  }
  std::thread collector(collect, fibers, collections);
  for (boost::fibers::fiber& fiber : active) fiber.join();
  for (Gate& gate : gates) gate.release();
  while (finished < fibers) boost::this_fiber::yield();
  collector.join();

  report_all();
  end.wait();
  for (std::thread& thread : threads) thread.join();
  return lost == 0 ? 0 : 1;
}

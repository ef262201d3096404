// The longest malloc and free of a program whose heap grows and shrinks: page faults, huge pages that the kernel has to find or to copy, memory that goes
// back under the feet of who asks for it.
//
//   longest_call [megabytes = 300] [waves = 4] [pause between waves, ms = 1500]
//
// A wave: the heap grows by that much in objects of 16 bytes to 1 KiB, one block of 64 KiB to 1 MiB among 2,000 of them; three of four objects are
// freed at random; the thread pauses, so that memory goes back and what stays settles; as many are made anew, then all freed. Each call is timed. Prints key=value pairs: the
// longest call, those that only one in 10,000 and in 100,000 exceed, and all that were longer than 1 ms together; malloc with the first
// touch of its block, free. The time that the thread was ready and had no processor (/proc/thread-self/schedstat) is taken off the calls above 1 ms.

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>
#include <vector>

#include "bench/malloc/object.h"

namespace {

std::uint64_t now_ns() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(time.tv_nsec);
}

class RunDelay {
 public:
  // Of the thread since the last call, in ns; 0 where the kernel does not tell.
  std::uint64_t since_last() {
    char text[100] = {};
    unsigned long long ran = 0, waited = 0;
    if (::pread(file_, text, sizeof text - 1, 0) <= 0 || std::sscanf(text, "%llu %llu", &ran, &waited) != 2) return 0;
    return waited - std::exchange(last_, waited);
  }

 private:
  int file_ = ::open("/proc/thread-self/schedstat", O_RDONLY);
  unsigned long long last_ = 0;
};

class Calls {
 public:
  Calls() { exact_.reserve(100'000); }
  void note(std::uint64_t ns, RunDelay& delay) {
    if (++count_ % 256 == 0) delay.since_last();
    if (ns > kLong) ns -= std::min(ns, delay.since_last());
    if (ns > kLong) total_of_long_ += ns;
    if (ns >= 4'000 && exact_.size() < exact_.capacity()) exact_.push_back(ns);
  }
  void print(const char* name) {
    std::sort(exact_.rbegin(), exact_.rend());
    std::printf(" %s_longest_us=%.0f %s_p99.999_us=%.1f %s_p99.99_us=%.1f %s_above_1ms_ms=%.1f", name, of(0), name, of(count_ / 100'000), name, of(count_ / 10'000), name,
                static_cast<double>(total_of_long_) / 1e6);
  }

 private:
  static constexpr std::uint64_t kLong = 1'000'000;
  double of(std::size_t rank) const { return rank < exact_.size() ? static_cast<double>(exact_[rank]) / 1e3 : 0; }

  std::vector<std::uint64_t> exact_;  // of calls that took microseconds
  std::size_t count_ = 0;
  std::uint64_t total_of_long_ = 0;
};

struct Times {
  Calls makes, frees;
  RunDelay delay;
};

bench::Object* make(Times& times, bench::Random& random) {
  const std::size_t bytes = random.below(2000) == 0 ? bench::log_uniform_size(random, 16, 20) : bench::skewed_size(random, 1024);
  const std::uint64_t begin = now_ns();
  auto* object = bench::make_object(bytes);
  times.makes.note(now_ns() - begin, times.delay);
  return object;
}

std::uint64_t drop(Times& times, bench::Object*& object) {
  const std::uint64_t begin = now_ns();
  const std::uint64_t dropped = bench::drop_object(std::exchange(object, nullptr));
  times.frees.note(now_ns() - begin, times.delay);
  return dropped;
}

}  // namespace

int main(int argc, char** argv) {
  const bench::Arguments arguments(argc, argv);
  const std::size_t bytes = 1'000'000 * arguments.number(1, 300), waves = arguments.number(2, 4);
  const auto pause = std::chrono::milliseconds(arguments.number(3, 1500));
  Times times;
  bench::Random random(17);
  std::uint64_t made = 0, dropped = 0;
  std::vector<bench::Object*> objects;
  objects.reserve(bytes / 40);
  for (std::size_t wave = 0; wave < waves; ++wave) {
    for (std::size_t live = 0; live < bytes; live += objects.back()->bytes, ++made) objects.push_back(make(times, random));
    for (auto*& object : objects)
      if (object != nullptr && random.below(4) != 0) dropped += drop(times, object);
    std::this_thread::sleep_for(pause);
    for (auto*& object : objects)
      if (object == nullptr) object = make(times, random), ++made;
    for (auto*& object : objects) dropped += drop(times, object);
    objects.clear();
  }
  if (made != dropped) bench::fail("not every object was dropped once");
  std::printf("calls=%llu", static_cast<unsigned long long>(made));
  times.makes.print("malloc");
  times.frees.print("free");
  std::puts("");
}

// What a thread costs that has worked and sleeps, as those of most pools do: each makes and frees objects, keeps a few,
// and waits.
//
//   idle_threads [threads = 1000] [objects a thread = 2000] [idle seconds = 5] [largest object = 4096]
//
// Prints key=value pairs: resident KiB a thread, its stack included, when the last has fallen asleep and after the idle
// time, without what the program had before and what the kept objects take; and ms until all have woken up and made and
// freed their objects once more. Memory that the kernel may take but has not (MADV_FREE) counts as returned.

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "bench/malloc/object.h"
#include "bench/malloc/resident.h"

namespace {

constexpr std::size_t kLive = 100;  // objects of a thread at a time

// Sleepers wait here; the last one to come wakes the caller.
class Stage {
 public:
  explicit Stage(std::size_t threads) : threads_(threads) {}
  void arrive_and_wait() {
    std::unique_lock lock(mutex_);
    const std::size_t round = round_;
    if (++arrived_ == threads_) all_arrived_.notify_one();
    next_round_.wait(lock, [&] { return round_ != round; });
  }
  void wait_for_all() {
    std::unique_lock lock(mutex_);
    all_arrived_.wait(lock, [&] { return arrived_ == threads_; });
  }
  void next_round() {
    const std::lock_guard lock(mutex_);
    arrived_ = 0;
    ++round_;
    next_round_.notify_all();
  }

 private:
  const std::size_t threads_;
  std::mutex mutex_;
  std::condition_variable all_arrived_, next_round_;
  std::size_t arrived_ = 0, round_ = 0;
};

// Makes `objects`, of which up to kLive live at a time; drops all but one in twenty of those left. Bytes that stay.
std::size_t work(std::vector<bench::Object*>& live, std::size_t objects, std::size_t largest, std::uint64_t seed) {
  bench::Random random(seed);
  for (std::size_t i = 0; i < objects; ++i) {
    bench::Object*& place = live[random.below(live.size())];
    bench::drop_object(place);
    place = bench::make_object(bench::skewed_size(random, largest));
  }
  std::size_t kept = 0;
  for (std::size_t i = 0; i < live.size(); ++i) {
    if (i % 20 == 0 && live[i] != nullptr) {
      kept += live[i]->bytes;
    } else {
      bench::drop_object(live[i]);
      live[i] = nullptr;
    }
  }
  return kept;
}

}  // namespace

int main(int argc, char** argv) {
  const bench::Arguments arguments(argc, argv);
  const std::size_t threads = arguments.number(1, 1000), objects = arguments.number(2, 2000);
  const std::size_t seconds = arguments.number(3, 5), largest = arguments.number(4, 4096);
  Stage stage(threads);
  std::vector<std::thread> all;
  all.reserve(threads);
  std::vector<std::size_t> kept(threads);
  const double before = bench::resident_kib();
  for (std::size_t t = 0; t < threads; ++t) {
    all.emplace_back([&, t] {
      std::vector<bench::Object*> live(kLive);
      kept[t] = work(live, objects, largest, t);
      stage.arrive_and_wait();
      work(live, objects, largest, t);
      stage.arrive_and_wait();
      for (auto* object : live) bench::drop_object(object);
    });
  }
  stage.wait_for_all();
  double own = before;
  for (const std::size_t bytes : kept) own += static_cast<double>(bytes + kLive * sizeof(void*)) / 1024;
  const auto each = [&](double kib) { return (kib - own) / static_cast<double>(threads); };
  const double asleep = each(bench::resident_kib());
  std::this_thread::sleep_for(std::chrono::seconds(seconds));
  const double idle = each(bench::resident_kib());
  const auto start = std::chrono::steady_clock::now();
  stage.next_round();
  stage.wait_for_all();
  const std::chrono::duration<double, std::milli> again = std::chrono::steady_clock::now() - start;
  stage.next_round();
  for (auto& thread : all) thread.join();
  std::printf("asleep_kib=%.1f idle_kib=%.1f again_ms=%.1f\n", asleep, idle, again.count());
}

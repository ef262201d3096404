// The page heap beside a naive model, which predicts every address, every zero flag and every counter. tests/fuzz/page_heap.cc
// does the same with inputs that coverage chooses.
#include <chrono>

#include "tests/alloc/page_heap_model.h"
#include "tests/alloc/page_heap_pages.h"

namespace lull::pages {
namespace {

class PageHeapFuzz : public PageHeapTest {};

// Drives heap and model with the same operations and compares every answer.
class Fuzzer {
 public:
  explicit Fuzzer(std::uint64_t seed) : random_(seed) {}

  void step() {
    const std::uint64_t dice = random_() % 4096;
    if (dice < 1) purge(static_cast<unsigned>(random_() % 4));  // rare: each makes pages fault again
    else if (dice < 3) tick();
    else if (live_.empty() || (dice % 2 == 0 && used_ < limit_)) allocate(size(), dice % 8 < 4);
    else release(random_() % live_.size(), dice % 8 < 5);
  }
  void new_round() {  // of another heap size; small ones are nearly full, large ones grow
    limit_ = 500 + static_cast<std::uint32_t>(random_() % 2500);
    compare_counters();
  }
  void release_all() {
    while (!live_.empty()) release(live_.size() - 1, live_.size() % 2 == 0);
    compare_counters();
  }

 private:
  struct Live {
    Pages run;
    std::uint64_t stamp;
  };

  std::uint32_t below(std::uint32_t n) { return static_cast<std::uint32_t>(random_() % n) + 1; }
  std::uint32_t size() {
    const std::uint64_t dice = random_() % 1000;
    if (dice < 600) return below(4);
    if (dice < 950) return below(20);
    if (dice < 990) return below(kChunkPages);
    if (dice < 994) return kChunkPages * below(3) + (dice < 992 ? 1 : 0);
    return below(5 * kChunkPages);
  }

  void allocate(std::uint32_t n, bool parked) {
    const std::uint32_t expected = parked ? model_.parked_place_for(n) : model_.place_for(n);
    const PageRun run = page_heap.allocate({n}, {1}, parked ? Placement::parked : Placement::first_fit);
    ASSERT_TRUE(run.found);
    ASSERT_EQ(expected, run.first.value) << n << " pages";
    model_.grow();
    const Pages pages{run.first.value, n};
    ASSERT_EQ(model_.is_clean(pages), run.zero) << n << " pages at " << pages.first;
    ASSERT_TRUE(!run.zero || is_zero(pages)) << n << " pages at " << pages.first;
    model_.take(pages);
    live_.push_back({pages, ++stamps_});
    stamp(pages, stamps_);
    used_ += n;
  }

  void release(std::size_t which, bool park) {
    std::swap(live_[which], live_.back());
    const Live it = live_.back();
    live_.pop_back();
    ASSERT_TRUE(has_stamp(it.run, it.stamp)) << it.run.count << " pages at " << it.run.first << " changed under their owner";
    if (park) page_heap.park(it.run.index(), it.run.length()), model_.park(it.run);
    else give(it.run), model_.give(it.run);
    used_ -= it.run.count;
  }

  void purge(unsigned idle_ticks) { ASSERT_EQ(model_.purge(idle_ticks), page_heap.purge(idle_ticks, kAll)); }
  void tick() {
    page_heap.tick();
    model_.tick();
  }

  void compare_counters() {
    page_heap.check_invariants();
    const PageStats stats = page_heap.stats();
    ASSERT_EQ(model_.committed(), stats.committed);
    ASSERT_EQ(model_.bytes('u'), stats.used);
    ASSERT_EQ(model_.bytes('d'), stats.free_dirty);
    ASSERT_EQ(model_.bytes('c'), stats.free_clean);
    ASSERT_EQ(stats.free_dirty, page_heap.dirty_bytes());
  }

  std::mt19937_64 random_;
  PageHeapModel model_;
  std::vector<Live> live_;
  std::uint64_t stamps_ = 0;
  std::uint32_t used_ = 0, limit_ = 2000;
};

TEST_F(PageHeapFuzz, DoesWhatANaiveModelDoes) {
  Fuzzer fuzzer(testing::seed_of_this_run());
  for (int i = 0; i < testing::scaled(1'000'000); ++i) {
    if (i % 4096 == 0) fuzzer.new_round();
    fuzzer.step();
    if (HasFatalFailure()) FAIL() << "at operation " << i;
  }
  ASSERT_NO_FATAL_FAILURE(fuzzer.release_all());
}

// Threads check that nobody else has their pages and that zero means zero, while another one purges.
TEST_F(PageHeapFuzz, ThreadsNeverShareAPage) {
  constexpr unsigned kThreads = 4;
  std::atomic<unsigned> running{kThreads};
  std::atomic<int> wrong{0};
  const std::uint64_t seed = testing::seed_of_this_run();
  testing::run_together(kThreads + 1, [&](unsigned t) {
    if (t == kThreads) {
      while (running.load() != 0) {
        page_heap.tick();
        page_heap.purge(1, std::size_t{1} << 20);
        page_heap.check_invariants();
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
      return;
    }
    std::mt19937_64 random(seed + t);
    std::vector<Pages> mine;
    for (int i = 0; i < testing::scaled(30'000); ++i) {
      if (mine.size() < 40 && random() % 2 == 0) {
        const std::uint32_t n = random() % 200 == 0 ? 300 : static_cast<std::uint32_t>(random() % 12) + 1;
        bool zero = false;
        const PageRun run = page_heap.allocate({n}, {1}, random() % 2 == 0 ? Placement::parked : Placement::first_fit);
        zero = run.zero;
        mine.push_back({run.first.value, n});
        if (zero && !is_zero(mine.back())) wrong.fetch_add(1);
        stamp(mine.back(), t + 1);
      } else if (!mine.empty()) {
        std::swap(mine[random() % mine.size()], mine.back());
        if (!has_stamp(mine.back(), t + 1)) wrong.fetch_add(1);
        if (random() % 2 == 0) page_heap.park(mine.back().index(), mine.back().length());
        else give(mine.back());
        mine.pop_back();
      }
    }
    for (const Pages& run : mine) give(run);
    running.fetch_sub(1);
  });
  EXPECT_EQ(0, wrong.load());
}

}  // namespace
}  // namespace lull::pages

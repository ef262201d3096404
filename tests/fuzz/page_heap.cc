// The page heap beside the naive model of its tests, with everything that its interface allows: alignments, very pages, placement at
// random, purging, mappings that fail.
#include <utility>
#include <vector>

#include "alloc/os/vm.h"
#include "tests/alloc/page_heap_model.h"
#include "tests/fuzz/input.h"

namespace lull::pages {
namespace {

using fuzz::Input;

constexpr std::uint32_t kMostLive = 4 * kChunkPages;  // more: fewer inputs a second
constexpr std::uint32_t kMostEnd = 64 * kChunkPages;

class Player {
 public:
  explicit Player(Input input) : input_(input) {}

  void play() {
    for (int steps = 0; steps < 400 && !input_.is_empty(); ++steps) step();
    disarm();
    while (!live_.empty()) release(live_.size() - 1);
    compare();
    page_heap.purge(0, kAll);
  }

 private:
  struct Live {
    Pages run;
    std::uint64_t stamp;
  };

  void step() {
    switch (input_.byte() % 16) {
      case 0: return allocate(input_.below(10), 1, Placement::parked);
      default: return allocate(input_.below(8), 1);
      case 1: return allocate(input_.below(64), 1);
      case 2: return allocate(input_.below(3 * kChunkPages), 1);
      case 3: return allocate(input_.below(40), 1u << input_.below(10));
      case 4: return allocate_at_random(input_.below(64), 1u << input_.below(6));
      case 5: return take(input_.below(12 * kChunkPages), input_.below(300) + 1);
      case 6: case 7: case 8: case 9: case 10: return live_.empty() ? void() : release(input_.below(static_cast<std::uint32_t>(live_.size())), input_.below(2) == 0);
      case 11: return tick();
      case 12: return purge(input_.below(4));
      case 13: return compare();
      case 14: armed_ = true; return os::fail_mapping_for_testing(static_cast<int>(input_.below(4)));
      case 15: return refuse(input_.any_size(), input_.any_size());
    }
  }

  // First fit: the model says where. Without a mapping nothing may have changed.
  void allocate(std::uint32_t n, std::uint32_t alignment, Placement placement = Placement::first_fit) {
    if (used_ + n > kMostLive) return;
    const PageRun run = page_heap.allocate({n}, {alignment}, placement);
    const bool may_fail = disarm();
    model_.grow();
    if (n == 0) return FUZZ_CHECK(!run.found);
    if (!run.found) return FUZZ_CHECK(may_fail);
    std::uint32_t expected = placement == Placement::parked ? model_.parked_place_for(n) : model_.place_for(n + alignment - 1);
    while (address_of({expected}) % (alignment * kPageSize) != 0) ++expected;
    FUZZ_CHECK(run.first.value == expected);
    accept({expected, n}, run.zero);
  }
  void allocate_at_random(std::uint32_t n, std::uint32_t alignment) {
    if (n == 0 || used_ + n > kMostLive) return;
    tick();  // nothing is parked: whether it is kept depends on the place
    const PageRun run = page_heap.allocate({n}, {alignment}, Placement::random);
    const bool may_fail = disarm();
    model_.grow();
    if (!run.found) return FUZZ_CHECK(may_fail);
    FUZZ_CHECK(address_of(run.first) % (alignment * kPageSize) == 0);
    FUZZ_CHECK(model_.is_free({run.first.value, n}));
    accept({run.first.value, n}, run.zero);
  }
  void take(std::uint32_t first, std::uint32_t n) {
    const std::uint32_t end = page_heap.end().value;
    if (used_ + n > kMostLive || (first + n > end && end >= kMostEnd)) return;
    if (armed_) tick();  // with nothing parked there is one attempt
    if (first > end || !model_.is_free({first, std::min(n, end - first)})) model_.unpark();
    const bool expected = first <= end && model_.is_free({first, std::min(n, end - first)});
    const bool taken = page_heap.take({first}, {n});
    const bool may_fail = disarm();
    model_.grow();
    FUZZ_CHECK(taken == expected || (expected && may_fail));
    if (taken) accept({first, n}, model_.is_clean({first, n}));
  }
  void accept(const Pages& run, bool zero) {
    FUZZ_CHECK(zero == model_.is_clean(run));
    for (const Pages& end : ends_of(run)) {
      FUZZ_CHECK(!zero || is_zero(end));
      stamp(end, stamps_ + 1);
    }
    model_.take(run);
    live_.push_back({run, ++stamps_});
    used_ += run.count;
  }

  void tick() {
    page_heap.tick();
    model_.tick();
  }

  void release(std::size_t which, bool park = false) {
    const Live it = live_[which];
    live_[which] = live_.back();
    live_.pop_back();
    for (const Pages& end : ends_of(it.run)) FUZZ_CHECK(has_stamp(end, it.stamp));
    if (park) page_heap.park(it.run.index(), it.run.length()), model_.park(it.run);
    else give(it.run), model_.give(it.run);
    used_ -= it.run.count;
  }

  // More than there is, of alignments that are powers of two as promised.
  void refuse(std::uint64_t n, std::uint64_t alignment) {
    const auto pages = static_cast<std::uint32_t>(n | 1u << 31);
    FUZZ_CHECK(!page_heap.allocate({pages}, {1u << alignment % 32}).found);
    FUZZ_CHECK(!page_heap.allocate({1}, {1u << 31}).found);
    FUZZ_CHECK(!page_heap.take({pages}, {static_cast<std::uint32_t>(alignment)}));
    model_.unpark();
    disarm();
    model_.grow();
  }

  void purge(unsigned idle_ticks) { FUZZ_CHECK(page_heap.purge(idle_ticks, kAll) == model_.purge(idle_ticks)); }
  void compare() {
    page_heap.check_invariants();
    const PageStats stats = page_heap.stats();
    FUZZ_CHECK(stats.committed == model_.committed());
    FUZZ_CHECK(stats.used == model_.bytes('u'));
    FUZZ_CHECK(stats.free_dirty == model_.bytes('d'));
    FUZZ_CHECK(stats.free_clean == model_.bytes('c'));
  }

  // All pages of short runs, the first and the last few of long ones.
  static std::vector<Pages> ends_of(const Pages& run) {
    if (run.count <= 8) return {run};
    return {{run.first, 4}, {run.first + run.count - 4, 4}};
  }
  bool disarm() {
    os::fail_mapping_for_testing(-1);
    return std::exchange(armed_, false);
  }

  Input input_;
  PageHeapModel model_;
  std::vector<Live> live_;
  std::uint64_t stamps_ = 0;
  std::uint32_t used_ = 0;
  bool armed_ = false;  // a mapping is going to fail
};

}  // namespace
}  // namespace lull::pages

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace lull::pages;
  if (const PageRun run = page_heap.allocate({1}); run.found) page_heap.release(run.first, {1});  // the first one makes the heap
  page_heap.purge(0, kAll);
  Player({data, size}).play();
  return 0;
}

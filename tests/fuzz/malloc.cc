// malloc's whole family against a reference that knows what every block holds and which addresses are taken; with sizes and
// alignments that have to be refused, and mappings that fail.
#include <cerrno>
#include <map>
#include <utility>
#include <vector>

#include "alloc/os/vm.h"
#include "alloc/pages/page_heap.h"
#include "lull/malloc.h"
#include "tests/fuzz/input.h"

namespace {

using lull::fuzz::Input;

constexpr std::size_t kMostLive = std::size_t{16} << 20;

struct Held {
  unsigned char* block = nullptr;
  std::size_t size = 0;
  std::size_t alignment = 0;  // 0: not asked for
  unsigned char value = 0;
  bool is_of_its_size = true;  // false: a realloc that had no memory to move to a smaller place
};

bool is_power_of_two(std::size_t n) { return n != 0 && (n & (n - 1)) == 0; }

class Player {
 public:
  explicit Player(Input input) : input_(input) {}

  void play() {
    for (int steps = 0; steps < 300 && !input_.is_empty(); ++steps) step();
    disarm();
    while (!held_.empty()) release(take(held_.size() - 1));
  }

 private:
  void step() {
    switch (input_.byte() % 16) {
      case 0: case 1: return allocate(size(), 0, [](std::size_t n, std::size_t) { return lull_malloc(n); });
      case 2: return allocate_zeros();
      case 3: case 4: return allocate(size(), std::size_t{1} << input_.below(16), [](std::size_t n, std::size_t a) { return lull_aligned_alloc(a, n); });
      case 5: return allocate(size(), std::size_t{8} << input_.below(13), [](std::size_t n, std::size_t a) {
        void* block = nullptr;
        const int error = lull_posix_memalign(&block, a, n);
        FUZZ_CHECK((error == 0) == (block != nullptr) && (error == 0 || error == ENOMEM));
        return block;
      });
      case 6: case 7: case 8: return held_.empty() ? void() : reallocate(any_held());
      case 9: case 10: case 11: return held_.empty() ? void() : release(any_held());
      case 12: return refuse();
      case 13: return ask();
      case 14: armed_ = true; return lull::os::fail_mapping_for_testing(static_cast<int>(input_.below(4)));
      case 15: lull_malloc_trim(input_.number(3)); return;
    }
  }

  // Mostly small; as large as makes a block of its own now and then.
  std::size_t size() {
    const std::uint8_t kind = input_.byte();
    if (kind < 160) return input_.below(1100);
    if (kind < 250) return input_.number(2);
    return input_.number(3) % (std::size_t{3} << 20);
  }

  template <class Allocate>
  void allocate(std::size_t size, std::size_t alignment, Allocate&& allocate) {
    if (live_ + size > kMostLive) return;
    errno = 0;
    auto* block = static_cast<unsigned char*>(allocate(size, alignment));
    const bool may_fail = disarm();
    if (block == nullptr) return FUZZ_CHECK(may_fail);
    FUZZ_CHECK(errno == 0);
    accept({block, size, alignment});
  }
  void allocate_zeros() {
    const std::size_t count = input_.below(5) + 1;
    allocate(size() / count * count, 0, [&](std::size_t n, std::size_t) {
      auto* block = static_cast<unsigned char*>(lull_calloc(count, n / count));
      for (std::size_t i = 0; block != nullptr && i < n; ++i) FUZZ_CHECK(block[i] == 0);
      return block;
    });
  }

  void accept(Held held) {
    const auto start = reinterpret_cast<std::uintptr_t>(held.block);
    const std::size_t usable = lull_malloc_usable_size(held.block);
    FUZZ_CHECK(usable >= held.size && start % (held.alignment > 16 ? held.alignment : 16) == 0);
    const auto above = ends_.lower_bound(start);
    FUZZ_CHECK(above == ends_.end() || above->first >= start + usable);
    FUZZ_CHECK(above == ends_.begin() || std::prev(above)->second <= start);
    ends_[start] = start + usable;
    live_ += held.size;
    held.value = static_cast<unsigned char>(++fills_);
    for_checked(held, held.size, [&](unsigned char* at, std::size_t n) { std::memset(at, held.value, n); });
    held_.push_back(held);
  }

  // The first and the last bytes of the first `size`.
  template <class Visit>
  static void for_checked(const Held& held, std::size_t size, Visit&& visit) {
    visit(held.block, std::min<std::size_t>(size, 600));
    if (size > 664) visit(held.block + size - 64, 64);
  }
  static void expect_contents(const Held& held, std::size_t size) {
    for_checked(held, size, [&](const unsigned char* at, std::size_t n) {
      for (std::size_t i = 0; i < n; ++i) FUZZ_CHECK(at[i] == held.value);
    });
  }
  Held any_held() { return take(input_.below(static_cast<std::uint32_t>(held_.size()))); }
  Held take(std::size_t which) {
    std::swap(held_[which], held_.back());
    const Held held = held_.back();
    held_.pop_back();
    expect_contents(held, held.size);
    FUZZ_CHECK(ends_.erase(reinterpret_cast<std::uintptr_t>(held.block)) == 1);
    live_ -= held.size;
    return held;
  }

  void reallocate(Held held) {
    const std::size_t wanted = size();
    if (live_ + wanted > kMostLive) return accept(held);
    if (wanted == 0) {  // as glibc: frees
      disarm();
      return FUZZ_CHECK(lull_realloc(held.block, 0) == nullptr);
    }
    auto* moved = static_cast<unsigned char*>(wanted % 2 != 0 ? lull_realloc(held.block, wanted) : lull_reallocarray(held.block, 2, wanted / 2));
    const bool may_fail = disarm();
    FUZZ_CHECK(moved != nullptr || (may_fail && errno == ENOMEM));
    if (moved == nullptr) {
      expect_contents(held, held.size);
      return accept(held);
    }
    held.block = moved;
    const std::size_t kept = std::min({held.size, wanted, std::size_t{600}});
    for (std::size_t i = 0; i < kept; ++i) FUZZ_CHECK(moved[i] == held.value);
    accept({moved, wanted, 0, 0, !may_fail && held.is_of_its_size});
  }

  void release(const Held& held) {
    std::memset(held.block, 0xdd, std::min<std::size_t>(held.size, 64));
    errno = 77;
    const bool with_size = held.is_of_its_size && input_.byte() % 2 != 0;
    if (!with_size) lull_free(held.block);
    else if (held.alignment != 0) lull_free_aligned_sized(held.block, held.alignment, held.size);
    else lull_free_sized(held.block, held.size);
    FUZZ_CHECK(errno == 77);
  }

  // What no address space holds, and alignments that are none.
  void refuse() {
    disarm();
    const std::size_t huge = input_.any_size() | std::size_t{1} << 63, odd = input_.any_size();
    errno = 0;
    FUZZ_CHECK(lull_malloc(huge) == nullptr && errno == ENOMEM);
    FUZZ_CHECK(lull_calloc(huge, 2) == nullptr && lull_calloc(2, huge) == nullptr && lull_calloc(1, huge) == nullptr);
    FUZZ_CHECK(lull_aligned_alloc(std::size_t{1} << odd % 40, huge) == nullptr);
    FUZZ_CHECK(lull_aligned_alloc(std::size_t{1} << 62, huge >> 32) == nullptr);
    void* untouched = this;
    FUZZ_CHECK(lull_posix_memalign(&untouched, 16, huge) == ENOMEM && untouched == this);
    if (!is_power_of_two(odd)) {
      errno = 0;
      FUZZ_CHECK(lull_aligned_alloc(odd, 8) == nullptr && errno == EINVAL);
      FUZZ_CHECK(lull_posix_memalign(&untouched, odd, 8) == EINVAL && untouched == this);
    }
    if (held_.empty()) return;
    unsigned char* block = held_.back().block;
    FUZZ_CHECK(lull_realloc(block, huge) == nullptr && lull_reallocarray(block, huge, 2) == nullptr);
    expect_contents(held_.back(), held_.back().size);
  }
  void ask() {
    const std::size_t size = input_.any_size();
    if (size < std::size_t{1} << 62) FUZZ_CHECK(lull_good_size(size) >= size);
    FUZZ_CHECK(lull_malloc_usable_size(nullptr) == 0);
  }

  bool disarm() {
    lull::os::fail_mapping_for_testing(-1);
    return std::exchange(armed_, false);
  }

  Input input_;
  std::vector<Held> held_;
  std::map<std::uintptr_t, std::uintptr_t> ends_;
  std::size_t live_ = 0;
  unsigned fills_ = 0;
  bool armed_ = false;  // a mapping is going to fail
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Player({data, size}).play();
  lull_malloc_trim(0);
  lull::pages::page_heap.check_invariants();
  FUZZ_CHECK(lull::pages::page_heap.stats().used == 0);
  return 0;
}

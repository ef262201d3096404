// Runs of the page heap for its tests: taken, marked with an owner, looked at, given back.
//
// All cases use the one page heap there is; each begins with everything free and purged, whatever ran before it.
#pragma once

#include <algorithm>
#include <cstring>
#include <optional>

#include "alloc/os/vm.h"
#include "alloc/pages/page_heap.h"
#include "alloc/pages/reservation.h"
#include "tests/alloc/support.h"

namespace lull::pages {

inline constexpr std::uint32_t kChunkPages = PageHeap::kChunkPages;
inline constexpr std::size_t kAll = ~std::size_t{0};

struct Pages {
  std::uint32_t first = 0, count = 0;
  PageIndex index() const { return {first}; }
  PageCount length() const { return {count}; }
  std::byte* memory() const { return reinterpret_cast<std::byte*>(address_of({first})); }
};

// Two words a page, one in each half, say whose it is.
inline void stamp(const Pages& run, std::uint64_t owner) {
  for (std::size_t at = 8; at < run.length().bytes(); at += kPageSize / 2)
    std::memcpy(run.memory() + at, &owner, sizeof owner);
}
inline bool has_stamp(const Pages& run, std::uint64_t owner) {
  for (std::size_t at = 8; at < run.length().bytes(); at += kPageSize / 2)
    if (std::memcmp(run.memory() + at, &owner, sizeof owner) != 0) return false;
  return true;
}
inline bool is_zero(const Pages& run) {
  const auto* words = reinterpret_cast<const std::uint64_t*>(run.memory());
  return std::all_of(words, words + run.length().bytes() / 8, [](std::uint64_t w) { return w == 0; });
}

inline std::optional<Pages> take(std::uint32_t n, bool* zero = nullptr) {
  const PageRun run = page_heap.allocate({n});
  if (zero != nullptr) *zero = run.zero;
  return run.found ? std::optional(Pages{run.first.value, n}) : std::nullopt;
}
inline void give(const Pages& run) { page_heap.release(run.index(), run.length()); }

class PageHeapTest : public ::testing::Test {
 protected:
  PageHeapTest() {
    if (const auto run = take(1)) give(*run);  // the first allocation makes the heap
    page_heap.purge(0, kAll);
  }
  ~PageHeapTest() override {
    os::fail_mapping_for_testing(-1);
    page_heap.check_invariants();
    EXPECT_EQ(0u, page_heap.stats().used) << "the test keeps pages";
  }
};

}  // namespace lull::pages

// Runs of the page heap for its tests: taken, marked with an owner, looked at, given back.
//
// All cases use the one page heap there is; each begins with everything free and purged, whatever ran before it.
#pragma once

#include <optional>

#include "alloc/os/vm.h"
#include "tests/alloc/page_heap_model.h"
#include "tests/alloc/support.h"

namespace lull::pages {

inline std::optional<Pages> take(std::uint32_t n, bool* zero = nullptr) {
  const PageRun run = page_heap.allocate({n});
  if (zero != nullptr) *zero = run.zero;
  return run.found ? std::optional(Pages{run.first.value, n}) : std::nullopt;
}

class PageHeapTest : public ::testing::Test {
 protected:
  PageHeapTest() {
    leave_fresh_chunks();  // the model has none; fresh_chunks_test.cc
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

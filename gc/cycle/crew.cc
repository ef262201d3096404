#include "gc/cycle/crew.h"

#include <algorithm>

#include "alloc/os/clock.h"
#include "alloc/os/futex.h"
#include "alloc/os/thread.h"
#include "alloc/trace/timeline.h"
#include "gc/mark/assist.h"
#include "gc/mark/marker.h"
#include "gc/mark/parked_stacks.h"
#include "gc/model/delay.h"

namespace lull::gc {

constinit Crew crew;

namespace {
constexpr unsigned kMostHelpers = 15;
constexpr std::uint64_t kSliceBytes = 256 * 1024;
constexpr std::uint64_t kNapNs = 50'000;  // a helper without work looks again after this
}  // namespace

unsigned Crew::workers() const { return workers_ != 0 ? workers_ : std::clamp(os::processors() / 4, 1u, kMostHelpers + 1); }

void Crew::start_helpers() {
  while (started_ + 1 < workers()) {
    pthread_t thread;
    if (!os::start_thread(thread, helper_main, this, "lull-mark")) return;
    pthread_detach(thread);
    ++started_;
  }
}

void Crew::begin() {
  start_helpers();
  marking_.store(1, std::memory_order_seq_cst);
  if (started_ > 0) os::futex_wake_all(marking_);
}

void Crew::end() {
  marking_.store(0, std::memory_order_seq_cst);
  while (!is_idle()) os::pause_cpu();
}

void* Crew::helper_main(void* self) {
  os::make_background();
  static_cast<Crew*>(self)->help();
  return nullptr;
}

void Crew::help() {
  for (;;) {
    if (marking_.load(std::memory_order_seq_cst) == 0) {
      os::futex_wait(marking_, std::uint32_t{0});
      continue;
    }
    delay_point("helper sees marking");
    busy_.fetch_add(1, std::memory_order_seq_cst);  // seq_cst: before the look at marking_ and the pool, pairs with end()
    delay_point("helper counts");
    if (marking_.load(std::memory_order_seq_cst) != 0 && (!grey_pool.empty() || parked_stacks.has_more())) mark_until_dry();
    busy_.fetch_sub(1, std::memory_order_seq_cst);
    constinit static std::atomic<std::uint32_t> never{0};
    if (grey_pool.empty()) os::futex_wait_for(never, std::uint32_t{0}, kNapNs);
  }
}

void Crew::mark_until_dry() {
  const std::uint64_t start = os::thread_cpu_ns();
  trace::Span span(trace::What::mark);
  std::uint64_t scanned = 0;
  Marker marker;
  while ((parked_stacks.read_some(marker, kSliceBytes) || !marker.drain(kSliceBytes)) && marking_.load(std::memory_order_relaxed) != 0) {
    assists.credit.fetch_add(static_cast<std::int64_t>(marker.scanned_bytes()), std::memory_order_relaxed);
    scanned += marker.scanned_bytes();
    publish_counts(marker);
  }
  marker.hand_over_rest();
  span.set_argument(scanned + marker.scanned_bytes());
  publish_counts(marker);
  helper_ns_.fetch_add(os::thread_cpu_ns() - start, std::memory_order_relaxed);
}

}  // namespace lull::gc

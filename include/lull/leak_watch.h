// lull::leak_watch: which types grow from cycle to cycle, and how fast.
//
//   lull::leak_watch::start({.on_leak = [](const lull::leak& l, void*) { log(l.type, l.bytes_per_second); }});
//   ...
//   lull::leak leaks[10];
//   for (auto& l : std::span(leaks).first(lull::leak_watch::find(leaks))) ...
//
// After every full cycle the watch notes what is left of each type. A type leaks when all of this holds for the last
// cycles (8 at least): the trend is up (in 93 % of all pairs of cycles, Kendall), its slope is at least least_bytes_per_second (the median of the
// slopes of all pairs, Theil and Sen), what it grew by is ten times the scatter around that line (the median deviation), it is still growing, and
// there has never been more of it. So a load that rises and falls with a period of fewer than 8 cycles is silent, one with a longer period
// is silent from its second rise on. Of 2000 simulated types that only fluctuate 3 were named once in 100 cycles; a leak as large a
// cycle as the noise of the type is found within ten. One that drifts at random to new heights is named. A program that fills a cache for 8 cycles looks like a leak until it stops growing: the answer is a suspicion.
//
// Young cycles free no old garbage, so they do not count: a program whose cycles are all young is asked with lull::collect() now
// and then. Costs 300 bytes a type and about a microsecond a type and full cycle, on a thread of the library.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace lull {

struct leak {
  std::string_view type = {};
  double bytes_per_second = 0, bytes_per_cycle = 0;
  std::uint64_t live_bytes = 0, live_objects = 0;  // after the last full cycle
  unsigned cycles = 0;                             // that were looked at
};

namespace leak_watch {

struct options {
  double least_bytes_per_second = 100;
  // Called once when a type begins to leak, and again when its live bytes have doubled since; on a thread of the library, with no lock
  // held. It may use managed objects, and call start() or stop().
  void (*on_leak)(const leak& found, void* context) = nullptr;
  void* context = nullptr;
};

// False: out of threads. Again: with other options, and all that was noted is forgotten. In a forked child it goes on.
//
// Both return when the on_leak before does not run, and is not called any more, as by then its context may be gone; so they must not be called
// with a lock that on_leak takes. Called by on_leak they do not wait for that call.
bool start(const options& with = {});
void stop();

// The types that leak now, fastest first. Returns how many were put into `out`.
std::size_t find(std::span<leak> out);

}  // namespace leak_watch
}  // namespace lull

// lull::guardian: rules over metrics, and what to do when one is broken: collect, return memory, retune, tell the program.
//
//   lull::guardian::start(lull::guardian::usual_rules());
//
// A rule looks at one metric (lull/metrics.h), at the quotient of two (of two that only grow: of what was added since the last look), or at a quantile of a histogram's values since the last look.
// A rule acts at a look at which the value is above `above`, if it went there `for_seconds` ago or earlier and has not been at most `until` since
// (hysteresis: in between nothing changes). It acts again only if that is still so `every_seconds` later. All rules together act
// at most once in `least_pause_seconds`, so that two rules do not pull to and fro. Every action is kept in a log.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace lull::guardian {

enum class action : std::uint8_t {
  tell,           // only the callback
  collect,        // asks for a full cycle, does not wait
  return_memory,  // free pages go back to the system now
  raise_percent,  // gc percent * 3 / 2, at most most_percent: fewer cycles, more memory
  lower_percent,  // gc percent * 2 / 3, at least least_percent: less memory
};
const char* name_of(action what);

struct rule {
  std::string_view name = {};  // the string must outlive the guardian, as the metrics' names
  std::string_view metric = {};
  std::string_view per = {};  // empty: the metric itself; else divided by this one
  double quantile = 0;      // histograms: of the values since the last look, in seconds; no values: 0
  double above = 0;
  double until = 0;         // <= above
  double for_seconds = 0;
  double every_seconds = 10;
  action then = action::tell;
};

struct entry {             // of the log
  double seconds = 0;      // since start()
  std::string_view rule = {};
  action what = action::tell;
  double value = 0;        // of the metric
  int percent_before = 0, percent_after = 0;  // raise_percent, lower_percent
};

struct options {
  double period_seconds = 1;        // between two looks; there is also one after each cycle
  double least_pause_seconds = 10;  // between two actions of whatever rules
  int least_percent = 25, most_percent = 400;
  // Called after an action, on a thread of the library with no lock held. It may use managed objects, and call start() or stop().
  void (*on_action)(const entry& done, void* context) = nullptr;
  void* context = nullptr;
};

// Heap near its limit: collect, then return memory. Handshakes longer than a millisecond at p99 for a minute: tell. Assists longer
// than a millisecond at p99 for 30 seconds: raise the percentage. Half of the processors' time for collecting: raise it too.
std::span<const rule> usual_rules();

inline constexpr std::size_t most_rules = 16;

// The rules are copied. False: more than most_rules, an unknown metric, `until` above `above`, or out of memory or threads; what
// ran before goes on then. In a forked child it goes on from the first cycle there.
//
// Both return when what was started before acts no more and its on_action does not run, as by then its context may be gone; so they must not
// be called with a lock that on_action takes. Called by on_action they do not wait for that call.
bool start(std::span<const rule> rules, const options& with = {});
void stop();

// The newest actions, oldest first, 128 at most. Returns how many were put into `out`.
std::size_t read_log(std::span<entry> out);
// "@12.345s heap-near-limit: 0.83: collect", "@12.345s long-assists: 0.0012: raise_percent 100 -> 150"; no newline. As snprintf.
std::size_t format(const entry& e, char* buffer, std::size_t size);

}  // namespace lull::guardian

// The one line that a benchmark prints: "name variant key=value ...", closed by the wall and processor seconds since
// the report was made (or its clock started again) and the peak memory of the process. tools/bench reads it.
#pragma once

#include <time.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>

namespace bench {

// User and system time. Not getrusage: for a running thread that is as old as the last timer tick.
inline double processor_seconds(clockid_t clock = CLOCK_PROCESS_CPUTIME_ID) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// VmHWM, not ru_maxrss: the latter survives exec, so it can be the parent's.
inline double peak_memory_mib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stod(line.substr(6)) / 1024;
  }
  return 0;
}

class Stopwatch {
 public:
  double seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_ = Clock::now();
};

class Report {
 public:
  Report(std::string_view name, std::string_view variant) { line_ << name << ' ' << variant; }

  template <class Value>
  void add(std::string_view key, const Value& value) { line_ << ' ' << key << '=' << value; }

  void restart_clock() {
    wall_ = Stopwatch();
    cpu_at_start_ = processor_seconds();
  }

  void print() {
    add("wall_s", wall_.seconds());
    add("cpu_s", processor_seconds() - cpu_at_start_);
    add("rss_mib", peak_memory_mib());
    std::puts(line_.str().c_str());
  }

 private:
  std::ostringstream line_;
  Stopwatch wall_;
  double cpu_at_start_ = processor_seconds();
};

}  // namespace bench

// What one run measured. Travels from the child process that ran it to the parent that prints it (as text,
// see write_result), so everything in it is plain values.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>
#include <vector>

#include "lull/histogram.h"

namespace index_service {

/// How long one kind of interruption held a thread up.
struct PauseFigures {
  std::string kind;
  std::uint64_t count = 0;
  std::uint64_t p50_ns = 0, p99_ns = 0, p999_ns = 0, max_ns = 0;
  lull::histogram durations;
};

/// What the memory policy knows of its collector, since the process started. All zero without a collector.
struct CollectorFigures {
  std::uint64_t collections = 0;
  std::uint64_t global_stops = 0;
  std::uint64_t heap_bytes = 0;  // allocated objects, garbage not yet swept included
  std::uint64_t allocated_bytes = 0;  // ever
  double cpu_seconds = 0;        // of the collector, assists by the program's threads included
  std::vector<PauseFigures> pauses;
};

struct MemorySample {
  double seconds = 0;  // since the run began, loading included
  std::uint64_t resident_bytes = 0;
  std::uint64_t heap_bytes = 0;  // 0 without a collector
  std::uint64_t allocated_bytes = 0;  // since the start; 0 without a collector
};

/// What of a type was alive after the newest full collection, at each of memory_over_time.
struct TypeOverTime {
  std::string type;
  std::vector<std::uint64_t> live_bytes;
};

/// What a stack allocated, estimated from samples: "outermost;...;innermost;[type]".
struct StackBytes {
  std::string frames;
  std::uint64_t bytes = 0;
};

/// Of any stretch of so many nanoseconds, the least share that the collector left to a thread of the program.
struct Utilisation {
  double window_ns = 0;
  double least = 1;
};

struct RunResult {
  std::string memory;  // name of the policy
  double load_seconds = 0;
  double seconds = 0;  // of the measured time, after loading
  double cpu_seconds = 0;
  double collector_cpu_seconds = 0;
  double others_cpu_seconds = 0;    // of other processes meanwhile
  double withheld_cpu_seconds = 0;  // taken by the host of a virtual machine meanwhile
  std::uint64_t documents = 0;
  std::uint64_t queries = 0;
  std::uint64_t late_queries = 0;  // due before the end and not begun by then; their wait counts as latency
  std::uint64_t unsteady_answers = 0;  // answers that differ from the first one to the same query
  std::uint64_t peak_bytes = 0;        // resident
  std::uint64_t final_bytes = 0;       // resident, one second after the work stopped, index still there
  lull::histogram latency;             // from the scheduled time to the answer
  lull::histogram start_delay;  // from the scheduled time to the begin, of queries whose thread was idle
  lull::histogram work;         // from the begin to the answer
  CollectorFigures collector;
  std::vector<MemorySample> memory_over_time;
  std::vector<TypeOverTime> types;       // this and what follows: empty without a collector
  std::vector<StackBytes> stacks;
  std::vector<Utilisation> utilisation;  // of the thread that has the least of it, by window
  std::vector<std::uint64_t> digests;  // by query; 0: never asked
};

void write_result(std::ostream& out, const RunResult& result);
/// False if the text is not a complete result.
bool read_result(std::istream& in, RunResult& result);

}  // namespace index_service

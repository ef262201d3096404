// What a cycle tells the reports. Declared here, implemented in gc/report/cycle_log.cc.
#pragma once

#include <cstdint>

#include "alloc/os/lock.h"
#include "gc/cycle/cycle.h"

namespace lull::gc {

struct CycleRun {
  bool forced;
  std::uint64_t driver_ns;  // processor time of driver and helpers, sweep included
};

void note_program_start();
void start_timeline_from_environment();  // gc/report/timeline.cc
void forget_watch_thread_after_fork();   // gc/report/watch_thread.cc
void start_debug_traces();               // gc/report/debug_traces.cc
os::Lock& cycle_log_lock_for_fork();
os::Lock& leak_watch_lock_for_fork();  // gc/report/leak_watch.cc
os::Lock& guardian_lock_for_fork();    // gc/report/guardian.cc
os::Lock& object_samples_lock_for_fork();  // gc/report/object_samples.cc
void start_object_profile_from_environment();  // gc/report/object_profile.cc
// gc/report/object_samples.cc. Driver, when all that is marked is marked and nothing is swept yet: whatever is white now is dead.
// `handed`: what had been handed out when the stacks were scanned.
void note_sampled_deaths(CycleKind kind, std::uint64_t handed);
void log_cycle(const Cycle& cycle, const CycleRun& run);  // driver, when the cycle is over

}  // namespace lull::gc

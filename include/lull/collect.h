// Running the collector by hand, and its knobs. All functions are thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lull {

// Runs a full cycle that starts after the call, and waits until it is swept. Callers at the same time share cycles.
// Blocks (the calling thread answers handshakes meanwhile); must not be called from a trace() or a destructor that
// another collect() waits for.
void collect();

// The same with a young cycle: frees what has become unreachable among the objects allocated since the last cycles, and
// leaves older ones alone, so that it costs in proportion to the young objects that live. A full cycle where young ones are
// off (LULL_GENERATIONAL=0) or impossible (the first one).
void collect_young();

// collect(), and then everything that is free goes back to the system at once, whole system pages between objects that live and malloc's (where the
// program uses lull's) included: for a program that has done its largest work, or will sleep. Takes some microseconds for each piece that is given
// back, and the next objects pay a page fault for each page. Without it free pages go back after a second or so, holes when they were not used between two
// full cycles or the program is idle. Not with LULL_DEBUG=scribble=1: holes keep the pattern. Blocks like collect(). After Go's debug.FreeOSMemory.
void return_memory();

// The heap may grow by this percentage over what survived before the next cycle ends (Go's GOGC; 100 by default or
// LULL_GC_PERCENT; negative: automatic collection off). Returns the previous value.
int set_gc_percent(int percent);

// Cycles aim at a heap of at least so many bytes, times the percentage / 100, however little survives (4 MiB by default or LULL_MIN_HEAP, as in
// Go). A program that will have tens of megabytes anyway does not collect on its way there. Returns the previous value.
std::uint64_t set_min_heap(std::uint64_t bytes);

// A program that has allocated something since the last cycle and has had none for so long gets a full cycle (120 s by default or
// LULL_IDLE_SECONDS; 0: off; also off while the percentage is negative); sooner, from 10 s on, if a full cycle takes less than 1 % of
// that time. It comes once: while nothing has changed no other follows.
// Programs whose heap never came near its first goal have none. Returns the previous value.
std::uint64_t set_idle_period_ms(std::uint64_t milliseconds);

// A soft limit, in bytes, of what the heap takes (objects, the free parts of their spans, descriptors and tables; malloc's
// blocks where the program uses lull's): near it cycles come more often, whatever the percentage, and also where that is
// off. What the program keeps alive may pass it; then the collector takes at most half of the processors. The limit is the least of this
// one, LULL_MEMORY_LIMIT and nine tenths of the container's (lull/malloc.h). UINT64_MAX: none. Returns the previous value. After Go's debug.SetMemoryLimit.
std::uint64_t set_memory_limit(std::uint64_t bytes);

// Turns traces on and off while the program runs: "gctrace=1,pacertrace=0", in LULL_DEBUG's form; gctrace, pacertrace, scavtrace and late=MILLISECONDS. False, and a line on
// standard error: something else is named, and nothing has changed. Waits for a cycle that runs; not from a function that runs in one. In Go GODEBUG is read once.
bool set_debug(const char* text);

// Runs the destructors of objects found unreachable, and callbacks of lull::on_unreachable, on the calling thread, until none
// is left; returns how many ran.
// With LULL_FINALIZERS=manual they run nowhere else. A destructor that throws ends the process.
std::size_t run_finalizers();

// Waits until the finalizer thread has run every destructor that was due at the call. Blocks. A destructor or callback must not call it:
// it would wait for itself, and stops the process.
void wait_for_finalizers();

}  // namespace lull

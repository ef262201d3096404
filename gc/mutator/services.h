// What mutators need of the collector above them. Declared here, implemented by gc/sweep, gc/mark, gc/cycle.
#pragma once

#include <cstddef>

#include "alloc/cache/thread_cache.h"
#include "gc/mutator/mutator.h"

namespace lull::gc {

// gc/sweep/span_supply.cc: spans for thread caches, swept on the way.
cache::SpanSource& span_supply();
pages::Span* make_large_span(Mutator& m, cache::SpanClass& c, std::size_t bytes);
void release_span_async(cache::SpanClass& c, pages::Span* span);  // async-signal-safe

// gc/cycle/driver.cc
void after_slow_allocation(Mutator& m);       // starts a cycle, assists, stress; in the caller's runtime section
void trace_allocation(const Mutator& m, const cache::SpanClass& c, std::size_t bytes, const void* object);  // gc/report: mode alloctrace
// gc/report/object_samples.cc: `object` of the class, whose slot has `bytes`, is a sample. In the caller's runtime section.
std::uint32_t draw_objects_to_sample(std::size_t slot_bytes);
bool draw_large_sample(std::size_t bytes);
void note_sampled(const cache::SpanClass& c, std::size_t bytes, const void* object);
// gc/cycle/hold.cc. The heap has passed its goal, or would with an object of `bytes`: pays in quanta of scan work, or naps,
// until a cycle has made room or the time for this allocation is up. Outside of runtime sections; blocked while it naps.
void hold_allocation(Mutator& m);
void hold_before_large(Mutator& m, std::size_t bytes);
void collect_for_memory();                    // memory ran out: full cycle, waits. Outside of runtime sections
void start_runtime();                         // idempotent: options, heap, signal handler; before the first attach

}  // namespace lull::gc

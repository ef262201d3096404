// lull::object_profile: which code allocates managed objects of which types, what of it is alive, and how long objects live.
//
// A sampled profile: sample points are a Poisson process over the bytes of the objects' slots, one every `mean_bytes` on average, and a
// sample counts for all that it stands for. So totals are estimates without bias, of any subset: by stack, by type, by both. The fast
// path of allocation is the same whether somebody samples or not; a sample costs a walk of its stack, once in `mean_bytes`.
//
// An object is dead when a cycle finds it so, not before. "Live" are the objects that no cycle has found dead, and the lifetime of an
// object is an upper bound: what the program allocated from its birth until the cycle that found it dead had looked at the stacks.
// Cycles that leave the old alone find only the young dead.
//
// LULL_OBJECT_PROFILE=path in the environment samples from the first managed object on and writes the allocations at the program's
// normal end; %p in the path becomes the process's number; a path that ends in .lifetimes gets the lifetimes, one that ends in .folded
// folded stacks, one that ends in .txt the table of short-lived sites. LULL_OBJECT_PROFILE_RATE=bytes: the mean.
//
// Thread-safe. Functions that write read counters while the program goes on; nobody is stopped and no lock is held meanwhile.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lull/text_sink.h"

namespace lull::object_profile {

// Threads take samples from their next hole on, at most some KiB for each type. 0: the usual mean of 512 KiB.
void start(std::size_t mean_bytes = 0);
// No more samples. What was sampled is still known, and counts as live until a cycle finds it dead.
void stop();
bool is_on();

// What pprof's samples are. Each has the label `type`.
enum class view : std::uint8_t {
  allocations,  // by stack and type: alloc_objects, alloc_space, inuse_objects, inuse_space
  lifetimes,    // the dead: objects, space; labels `lifetime` (bytes allocated meanwhile) and `cycles` (that found it alive)
};
// profile.proto with gzip framing, for `go tool pprof`. False: errno says why.
bool write_pprof(const text_sink& to, view what = view::allocations);
bool write_pprof(const char* path, view what = view::allocations);

enum class measure : std::uint8_t { allocated_bytes, allocated_objects, live_bytes, live_objects };
// A line a stack and type, outermost function first: "main;f;g;[Type] 1234". For flame graphs. Names are as the linker knows them: pipe
// the file through c++filt. Functions that the compiler put into others have no name of their own.
bool write_folded(const text_sink& to, measure what = measure::allocated_bytes);

// Sites whose objects die young: with 95 % confidence at most a tenth of them, by the samples, is found alive by the first cycle that looks
// at them; the table says how much. Such objects may not need the collector's heap: a local, a lull::scoped, an arena or a pool may
// do. Whether they leave their function is not known. A line a site, fields separated by tabs.
bool write_short_lived(const text_sink& to);

// Estimates, summed over all stacks, since the first start.
struct totals {
  std::uint64_t allocated_objects = 0, allocated_bytes = 0;
  std::uint64_t live_objects = 0, live_bytes = 0;
  std::uint64_t samples = 0, sites = 0;
};
totals read_totals();

}  // namespace lull::object_profile

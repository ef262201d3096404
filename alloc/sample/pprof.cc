#include "alloc/sample/pprof.h"

#include <algorithm>
#include <cerrno>
#include <new>

#include "alloc/base/units.h"
#include "alloc/os/vm.h"
#include "alloc/sample/pprof_writer.h"
#include "alloc/sample/sampler.h"

namespace lull::sample {
namespace {

constexpr std::uintptr_t kPage = 4096;

// What is between the program and the sample: functions whose whole name matches are left out, and what they call.
constexpr char kDropFrames[] =
    "(lull_)?(malloc|calloc|realloc|reallocarray|aligned_alloc|posix_memalign)|memalign|valloc|pvalloc|operator new.*|"
    "(.*::)?lull::.*malloc_allocator.*|lull::(front|sample)::.*";

void write_stacks(PprofWriter& to) {
  to.value_type("alloc_objects", "count");
  to.value_type("alloc_space", "bytes");
  to.value_type("inuse_objects", "count");
  to.value_type("inuse_space", "bytes");
  for_each_stack([&](const Stack& stack) {
    if (stack.allocated_objects.load(std::memory_order_relaxed) == 0) return;  // only freed there
    const StackFigures f = figures_of(stack);
    const std::int64_t values[] = {f.allocated_objects, f.allocated_bytes, f.live_objects, f.live_bytes};
    to.sample({stack.frames, stack.depth}, values);
  });
  to.finish({"space", "bytes", sampling_mean()}, kDropFrames);
}

}  // namespace

StackFigures& StackFigures::operator+=(const StackFigures& other) {
  allocated_objects += other.allocated_objects;
  allocated_bytes += other.allocated_bytes;
  live_objects += other.live_objects;
  live_bytes += other.live_bytes;
  return *this;
}

// What was freed is read first: it was allocated before.
StackFigures figures_of(const Stack& s) {
  const auto read = [](const std::atomic<std::uint64_t>& n) { return static_cast<std::int64_t>(n.load(std::memory_order_acquire)); };
  const std::int64_t freed_objects = read(s.freed_objects), freed_bytes = read(s.freed_bytes);
  const std::int64_t objects = read(s.allocated_objects), bytes = read(s.allocated_bytes);
  constexpr std::int64_t kHalf = std::int64_t{1} << (kObjectShift - 1);
  return {(objects + kHalf) >> kObjectShift, bytes, std::max<std::int64_t>((objects - freed_objects + kHalf) >> kObjectShift, 0),
          std::max<std::int64_t>(bytes - freed_bytes, 0)};
}

bool write_pprof(Output& out) {
  std::size_t frames = 4096;  // for those that are added meanwhile
  for_each_stack([&](const Stack& s) { frames += s.depth; });
  AddressSet sites(frames);
  if (!sites.is_usable()) {
    errno = ENOMEM;
    return false;
  }
  void* memory = os::map(round_up(sizeof(PprofWriter), kPage));  // too large for the stack of a signal handler
  if (memory == nullptr) {
    errno = ENOMEM;
    return false;
  }
  write_stacks(*new (memory) PprofWriter(out, sites));
  os::unmap(memory, round_up(sizeof(PprofWriter), kPage));
  return true;
}

}  // namespace lull::sample

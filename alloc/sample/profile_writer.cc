#include "alloc/sample/profile_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <new>

#include "alloc/base/units.h"
#include "alloc/os/vm.h"
#include "alloc/sample/output.h"
#include "alloc/sample/pprof.h"
#include "alloc/sample/sampler.h"

namespace lull::sample {
namespace {

// The process's memory map, for tools that find code by it.
void copy_maps(Output& out) {
  const int maps = ::open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  if (maps < 0) return;
  char part[1024];
  for (ssize_t n; (n = ::read(maps, part, sizeof part)) > 0;) out.put(part, static_cast<std::size_t>(n));
  ::close(maps);
}

void put_counts(Output& out, const char* format, const StackFigures& f) {
  out.put_line(format, f.live_objects, f.live_bytes, f.allocated_objects, f.allocated_bytes);
}

void write_text(Output& out) {
  StackFigures all;
  for_each_stack([&](const Stack& s) { all += figures_of(s); });
  put_counts(out, "heap profile: %ld: %ld [%ld: %ld] @ heap_v2/1\n", all);
  for_each_stack([&](const Stack& s) {
    if (s.allocated_objects.load(std::memory_order_relaxed) == 0) return;  // only freed there
    put_counts(out, "%ld: %ld [%ld: %ld] @", figures_of(s));
    for (std::uint32_t i = 0; i < s.depth; ++i) out.put_line(" 0x%lx", s.frames[i]);
    out.put_text("\n");
  });
  out.put_text("\nMAPPED_LIBRARIES:\n");
  copy_maps(out);
}

}  // namespace

bool write_profile(int fd, ProfileFormat format) {
  const std::size_t bytes = round_up(sizeof(Output), 4096);
  void* memory = os::map(bytes);  // too large for the stack of a signal handler
  if (memory == nullptr) {
    errno = ENOMEM;
    return false;
  }
  auto* out = new (memory) Output(fd, format == ProfileFormat::pprof ? Framing::gzip : Framing::plain);
  bool written = true;
  if (format == ProfileFormat::pprof) written = write_pprof(*out);
  else write_text(*out);
  written &= out->finish();
  const int error = errno;
  os::unmap(memory, bytes);
  errno = error;
  return written;
}

}  // namespace lull::sample

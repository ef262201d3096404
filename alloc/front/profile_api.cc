// include/lull/profile.h. Visible in the shared library too: a program that may run under it finds the functions by dlsym().
#include "lull/profile.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "alloc/front/sampling.h"
#include "alloc/os/no_cancellation.h"
#include "alloc/sample/profile_writer.h"
#include "alloc/sample/sampler.h"
#include "alloc/sample/stack_memo.h"

namespace {

lull::sample::ProfileFormat format_of(lull_profile_format format) {
  return format == LULL_PROFILE_TEXT ? lull::sample::ProfileFormat::text : lull::sample::ProfileFormat::pprof;
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

void lull_profile_start(size_t mean_bytes) { lull::front::start_profile(mean_bytes); }
void lull_profile_stop() { lull::front::stop_profile(); }

int lull_profile_write_fd(int fd, lull_profile_format format) {
  const lull::os::NoCancellation none;
  return lull::sample::write_profile(fd, format_of(format)) ? 0 : -1;
}

int lull_profile_write(const char* path, lull_profile_format format) {
  const lull::os::NoCancellation none;
  const int fd = ::open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0) return -1;
  const int outcome = lull_profile_write_fd(fd, format);
  const int error = errno;
  if (::close(fd) != 0 && outcome == 0) return -1;
  errno = error;
  return outcome;
}

void lull_profile_read_totals(lull_profile_totals* totals) {
  const lull::sample::SampleTotals t = lull::sample::sample_totals();
  *totals = {t.live_objects, t.live_bytes, t.allocated_objects, t.allocated_bytes, t.stacks};
}

void lull_profile_forget_code() {
  lull::sample::forget_frame_rules();
  lull::sample::forget_walks();
}

}  // extern "C"
#pragma GCC visibility pop

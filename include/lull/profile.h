/* A profile of malloc's heap by sampling: which stacks allocated what is in use, and what was allocated altogether. Plain C,
 * with a few lines of C++ at the end. Of liblull-malloc.so and of programs that link lull.
 *
 * Blocks are samples by a Poisson process over bytes, one every `mean_bytes` on average, and each sample counts for what it
 * stands for, so all figures are estimates without bias: with the usual mean, a total of 1 GiB is off by 2 % in most runs.
 * While sampling is off it costs nothing, while it is on about 2 ns for each small block. A sampled block of less than 8 KiB takes
 * 8 KiB until it is freed.
 *
 * In liblull-malloc.so the environment can do all of this; see docs/tuning.md. Every function is thread-safe; none may be
 * called from a signal handler except lull_profile_write and lull_profile_write_fd. */
#ifndef LULL_PROFILE_H
#define LULL_PROFILE_H

#ifdef __cplusplus
#include <cstddef>
#else
#include <stddef.h>
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* All threads take samples from now on; 0: the usual mean of 512 KiB. With another mean when sampling already. */
void lull_profile_start(size_t mean_bytes);
/* No more samples. What was sampled is still known, and goes on counting as in use until it is freed. */
void lull_profile_stop(void);

enum lull_profile_format {
  LULL_PROFILE_PPROF, /* profile.proto with gzip framing, for `go tool pprof` */
  LULL_PROFILE_TEXT   /* heap_v2 text with the memory map, for jeprof and google-pprof */
};
/* 0, or -1 with errno set. A file is made anew. */
int lull_profile_write(const char* path, enum lull_profile_format format);
int lull_profile_write_fd(int fd, enum lull_profile_format format);

/* Estimates, summed over all stacks. */
struct lull_profile_totals {
  size_t live_objects, live_bytes;
  size_t allocated_objects, allocated_bytes; /* since the first start */
  size_t stacks;
};
void lull_profile_read_totals(struct lull_profile_totals* totals);

/* To be called after dlclose() by a program that links lull statically, since other code may come to lie where the old one
 * was. liblull-malloc.so does it by itself. */
void lull_profile_forget_code(void);

#ifdef __cplusplus
}

namespace lull::profile {

using totals = lull_profile_totals;
inline void start(std::size_t mean_bytes = 0) { lull_profile_start(mean_bytes); }
inline void stop() { lull_profile_stop(); }
inline bool write(const char* path, lull_profile_format format = LULL_PROFILE_PPROF) {
  return lull_profile_write(path, format) == 0;
}
inline totals read_totals() {
  totals t;
  lull_profile_read_totals(&t);
  return t;
}

}  // namespace lull::profile
#endif
#endif

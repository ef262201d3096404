// A profile of a whole run, asked for by the environment:
//   LULL_PROFILE=path       sample from the start, write at exit. %p in the path is the process's number; the path of a
//                           forked child without %p gets its number at the end. A path that ends in .heap: text, else pprof
//   LULL_PROFILE_RATE=n     mean distance of samples in bytes; 524288
//   LULL_PROFILE_SIGNAL=n   also write when this signal comes, to path.1, path.2, ...
// LULL_MALLOC=guard (options.h) samples likewise, and puts some of the samples between guard pages.
// Only where malloc is replaced (alloc/replace/malloc.cc calls these).
#pragma once

namespace lull::front {

void begin_profile_of_run();  // when the library is loaded
void end_profile_of_run();    // at exit

}  // namespace lull::front

// LULL_MALLOC: what a program's environment asks of malloc, a list of names with values: LULL_MALLOC=secure,guard=1000
//
//   name     value                                                        alone    default
//   secure   none, or 1                                                   1        0; 1 under ASan and Valgrind (alloc/os/checker.h)
//   guard    one sampled allocation in so many gets guard pages           100      0: none
//   arena    none, or 1: memory of arenas cannot be touched after reset    1        0
//   purger   0: no thread gives memory back; 1: one that is started     2        1
//            when there is something to give back; 2: at the start
//
// Read once, before the first block is handed out. Any text is tolerated: what is unknown is skipped, and told in one line on
// standard error. Nothing here allocates or locks.
#pragma once

#include <cstdint>

namespace lull::front {

struct MallocOptions {
  std::int64_t secure = 0;
  std::int64_t guard = 0;
  std::int64_t arena = 0;
  std::int64_t purger = 1;
};

// Sets what `text` names, the last of several wins. False: something was not understood; it had no effect.
bool parse_malloc_options(const char* text, MallocOptions& into);

// The same at every call, by whatever thread.
MallocOptions malloc_options();

}  // namespace lull::front

// lull::dump_heap: every object that the program can reach, with its type, size, references and roots, in one file. Read it
// with tools/heap (docs/observability.md); the format is in docs/design/heap_dump.md.
//
// The dump shows one moment, at which no thread changes anything. It is taken with the world stopped, in one of two ways:
//   copy     the process is forked and the copy writes the file; threads stop while the kernel copies the page tables, about
//            1 ms for 100 MiB of heap. Pages that the program writes meanwhile are copied: up to twice the memory. Where the system
//            refuses the fork, and under ThreadSanitizer, `stopped` is taken instead
//   stopped  threads stop until the file is written, some 100 ms for a million objects; no memory but two bits per 16 bytes
//            of heap
// The copy runs no handler of the program (no fork handlers, no signals) and its end sends no SIGCHLD.
#pragma once

#include <cstdint>

namespace lull {

enum class dump_mode : std::uint8_t { copy, stopped };

struct heap_dump_info {
  std::uint64_t objects = 0, bytes = 0, references = 0, roots = 0;
  std::uint64_t stopped_ns = 0;  // the world
  bool copied = false;           // taken from a forked copy
};

// Waits for a running cycle, then dumps; blocks (the calling thread answers handshakes meanwhile). The file is made anew.
// False: errno says why, and the file is not complete.
bool dump_heap(const char* path, dump_mode mode = dump_mode::copy, heap_dump_info* info = nullptr);
// The same into an open file, pipe or socket; EPIPE when nobody reads it any more. With `stopped`, or where that takes the place of `copy`, who reads it must be no thread
// that uses the collector: it is stopped, too, and the dump waits for it for ever.
bool dump_heap_to(int fd, dump_mode mode = dump_mode::copy, heap_dump_info* info = nullptr);

}  // namespace lull

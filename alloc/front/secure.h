// LULL_MALLOC=secure. No thread has bins, so every malloc and every free of a small block takes its slow path and ends here;
// programs that do not ask for it pay nothing.
//
//   place        a block is drawn at random from all free ones of a random one of some spans; spans lie at random places
//   guards       behind each span is a page that nobody can touch (alloc/os/guard_pages.h), also behind each large block
//   live bits    a bit a block beside the free bits: handed out and not freed. free() clears it, so of two frees exactly one
//                finds it set: a double free is found at once, whoever does it and whatever the block holds
//   zero         free() clears a block. malloc() looks whether it still is zero: a write after free is found at the latest then
//   quarantine   a freed block waits until others that were freed later push it out, in random order
//   no links     nothing is kept in free blocks, so there is nothing in them to forge
//
// Small blocks ride on the protocol of shared_span.h: a class's open spans are held by it as by a thread, blocks are taken one by
// one. free bit + live bit + quarantined = 1 for each block, but for those that the purger has for a moment.
// The state lies in a mapping of its own between guard pages; the class's lock guards its part.
#pragma once

#include "alloc/front/central.h"
#include "alloc/front/options.h"

namespace lull::front {

inline bool is_secure() { return malloc_options().secure != 0; }

// nullptr when memory runs out.
[[nodiscard]] void* allocate_secure(BinIndex bin);
// Stops the program unless `address` is a small block that is handed out.
void free_secure(void* address);
// The block that starts at `address` in this span is handed out.
bool is_live(Span& span, std::uintptr_t address);

// Large blocks. Takes over the span of a freed block, whose pages are told as nobody's: they cannot be touched until others
// push them out.
void retire_large_secure(Span* span);
std::size_t quarantined_large_bytes();

// Everything in quarantine and all open spans go back. True: there was something. Also done when memory runs out.
bool trim_secure();

}  // namespace lull::front

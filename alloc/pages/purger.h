// The purger: a background thread that gives idle pages back to the system. A page goes back when its chunk saw no
// release for about a second; at most 64 MiB every 100 ms, so that it never hogs a processor. It also makes huge pages of
// dense chunks: alloc/pages/huge_pages.h.
#pragma once

#include <cstddef>

namespace lull::pages {

// There may be something to give back. Starts the thread at the first call that finds enough; false: not enough, nothing
// will be done. Cheap. Thread-safe.
bool nudge_purger();
// The same for free(), which the C library also calls with the lock of its stacks held (of threads that have ended), for which pthread_create() would wait: where
// there are other threads it leaves the start to the next slow path of malloc.
bool nudge_purger_from_free();
void start_purger_if_due();
// LULL_MALLOC=purger: at once, whatever there is to give back; never, and no allocation gives anything back for the memory limit's sake.
void start_purger();
void forbid_purger();
bool is_purger_forbidden();
// Called by the thread that has given back memory, the purger's or the collector's, with the bytes; nullptr: nobody.
void set_purge_report(void (*report)(std::size_t bytes));
// Tells it, and who traces, of what somebody else has given back.
void report_purged(std::size_t bytes);
// Extra work for the thread, done at every tick; true: there may be more at the next one.
void set_purger_hook(bool (*on_tick)());
// Gives all idle pages but `keep` bytes back now; returns the bytes. Thread-safe.
unsigned long purge_now(std::size_t keep = 0);

// In a forked child: the thread is gone, the next nudge starts another.
void forget_purger_after_fork();

}  // namespace lull::pages

// Threads as the kernel sees them.
#pragma once

#include <cstdint>
#include <pthread.h>

namespace lull::os {

struct StackBounds {
  std::uintptr_t low = 0, high = 0;
  bool contains(std::uintptr_t address) const { return address >= low && address < high; }
};

// The calling thread's stack. May call malloc (glibc reads /proc/self/maps for the first thread): not in handlers.
StackBounds current_stack();
// The calling thread's alternate signal stack while it runs on it; empty bounds otherwise. Async-signal-safe.
StackBounds active_signal_stack();

int current_thread_id();  // the kernel's tid
bool is_thread_here(int tid);  // of this process; also true when the system does not say. errno stays
unsigned processors();    // that this process may use: by its affinity, and its container's quota rounded up
void refresh_cpu_limit();  // reads the quota again, which the first call of processors() has read

// Starts a background thread with all signals blocked; false when the system refuses. The thread is joinable.
[[nodiscard]] bool start_thread(pthread_t& thread, void* (*entry)(void*), void* argument, const char* name);
void free_starts_after_fork();  // in the child: whom the fork caught being started does not exist there
void yield();  // to other runnable threads
// Lets the scheduler favour others over the calling thread (SCHED_BATCH), on the processors of the process's first thread.
void make_background();

}  // namespace lull::os

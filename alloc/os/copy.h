// A copy of the process for one task: it sees memory as it was, and changes nothing of the program's.
#pragma once

#include <cstddef>

namespace lull::os {

// 0 in the copy, its number in the caller, -1 when the system refuses. Unlike fork() it runs no handlers, and the end of the
// copy sends no signal. The copy has one thread, with all signals blocked; locks that other threads held stay held, so it
// may call nothing of the C library but what is async-signal-safe.
int copy_process();
// In the copy: closes every file but `keep` and standard error, so that nobody waits for the end of a pipe longer.
void close_files_except(const int* keep, std::size_t count);
[[noreturn]] void end_copy(int status);
// Waits for its end: its status, -1 when it was killed.
int wait_for_copy(int number);

}  // namespace lull::os

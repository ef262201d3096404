// The C library's lock of the list of all streams, which its fork() takes after all handlers that run before a fork. fflush(nullptr), fopen()
// and fclose() take it and then locks of streams; getline() and others allocate under a stream's lock. So whoever lets nobody allocate
// over a fork takes this one first, or waits in fork() for a thread that waits for one that waits to allocate. (The C library's own malloc
// locks come last in its fork() for the same reason.) Recursive. Where the C library has no such functions, musl's for one, nothing happens.
#pragma once

namespace lull::os {

void lock_stream_list();         // before a fork; each level
void unlock_stream_list();       // in the parent
void reset_stream_list_lock();   // in the child, once: whatever the levels, it is free

}  // namespace lull::os

// lull::timeline: what lull's threads and the program's threads in lull were doing when, for ui.perfetto.dev or chrome://tracing.
//
// Recorded are cycles and their steps, handshakes and each thread's answer, assists, naps and waits of allocating threads, sweeping,
// memory given back, destructors, and the heap's size and goal. Each thread keeps its newest entries in a ring of its own
// (40 bytes an entry), so recording can stay on: write() yields the last stretch of time. Off it costs a load and a
// branch at places that are rare; nothing is added to allocation, pointer stores or polls that find nothing to do.
//
// LULL_TIMELINE=path[,entries] in the environment records from the first managed object on and writes at the program's normal end;
// %p in the path becomes the process's number.
//
// A forked child goes on recording. It has what the forking thread recorded before, and nothing of the threads that are not there.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lull/text_sink.h"

namespace lull::timeline {

struct counts {
  std::uint64_t entries = 0;  // written
  std::uint64_t lost = 0;     // overwritten by newer ones, since start()
};

// What was recorded before is forgotten. Threads that record for the first time get rings of that size.
void start(std::size_t entries_per_thread = std::size_t{1} << 14);
void stop();
bool is_on();

// The Trace Event Format's JSON object. Recording may go on meanwhile.
counts write(const text_sink& to);
// Into a file, made anew. False: errno says why.
bool write(const char* path, counts* written = nullptr);

}  // namespace lull::timeline

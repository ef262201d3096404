// The return addresses of the calling thread, innermost first. What find_frame_rule() says of an address is remembered, so
// that a walk costs some nanoseconds a frame. No lock, no allocation, async-signal-safe.
//
// Code without tables (a just-in-time compiler's) is crossed by its frame pointers where it has them; otherwise the walk
// ends there. A walk stays below the end of the thread's stack where that is known: the main thread's and glibc's threads.
//
// After dlclose() other code may come to lie where the old one was: forget_frame_rules() must be called. The shared library
// does so in its own dlclose(); a program that links lull without it and unloads code calls lull_profile_forget_code().
#pragma once

#include <cstddef>
#include <cstdint>

namespace lull::sample {

inline constexpr std::size_t kMostFrames = 64;  // more are cut off at the outer end

struct StackTrace {
  std::uint32_t depth = 0;
  std::uintptr_t frames[kMostFrames];  // return addresses: the call is before each
};

// From the caller of this function on; lull's own frames are left out when lull is a library of its own.
[[gnu::noinline]] void capture_stack(StackTrace& trace);
// Of the code that a signal interrupted; the first frame is the instruction itself + 1, so that all are return addresses.
void capture_context(StackTrace& trace, const void* ucontext);

void forget_frame_rules();
// Finds what lull's own code is. Once, before the first capture; not from inside malloc.
void prepare_captures();

}  // namespace lull::sample

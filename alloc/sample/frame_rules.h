// How to get from one frame of a stack to its caller's, out of the tables that compilers write for exceptions (.eh_frame,
// DWARF call frame information). Takes no lock, allocates nothing, and may be called from malloc inside of dlopen(), of a
// callback of dl_iterate_phdr(), and of a signal handler: objects are found by _dl_find_object() (glibc 2.35), elsewhere in
// a list that remember_objects() makes.
//
// Of all registers only the instruction, stack and frame pointers are followed. That covers what compilers emit, but for
// functions that keep their frame's address in another register (glibc's lazy binding does).
#pragma once

#include <cstdint>

namespace lull::sample {

enum class FrameKind : std::uint8_t {
  unknown = 1,  // no table, or one that says more than is understood here
  outermost,    // nobody called
  from_sp,      // frame address = stack pointer + offset
  from_bp,      // frame address = frame pointer + offset
  at_bp,        // frame address = word at frame pointer + offset (realigned stacks)
  signal,       // the kernel called: its context lies at the stack pointer
};

// The return address lies in the word below the frame address.
struct FrameRule {
  FrameKind kind = FrameKind::unknown;
  std::int32_t offset = 0;
  std::int32_t saved_bp = 0;  // where the caller's frame pointer lies, from the frame address; 0: still in the register
};

// For the function that covers `pc`.
FrameRule find_frame_rule(std::uintptr_t pc);
// The loaded objects, for systems without _dl_find_object(). Takes the dynamic linker's lock: not from inside malloc.
void remember_objects();

// The code of one loaded object; {0, 0} when `pc` is in none.
struct CodeRange {
  std::uintptr_t start = 0, end = 0;
  const char* name = nullptr;  // empty: the program itself. Valid as long as the object is loaded
  std::uintptr_t load_bias = 0;
  bool contains(std::uintptr_t pc) const { return pc >= start && pc < end; }
};
CodeRange object_of(std::uintptr_t pc);

}  // namespace lull::sample

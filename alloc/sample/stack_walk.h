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

struct Registers { std::uintptr_t pc, sp, bp; };

// What a walk found out from, besides the code: the registers that it began with and the words of the stack that it read. While they
// are the same, so is the walk. Frame pointers count only where a frame is found by one: elsewhere the register holds anything.
class WalkRecord {
 public:
  static constexpr std::uint32_t kMostWords = 64;  // a walk that reads more, or anything but its stack, is not recorded

  bool is_whole() const { return words_ <= kMostWords; }
  bool repeats(const Registers& from) const;

  // Of the walk.
  void begin(const Registers& from);
  void spoil() { words_ = kMostWords + 1; }
  void note_read(std::uintptr_t address, std::uintptr_t value);
  void note_saved_bp(std::uintptr_t address, std::uintptr_t value) { bp_address_ = address, bp_value_ = value; }
  void note_bp_used();

 private:
  static constexpr std::uintptr_t kInRegister = 0, kNoted = 1;  // as bp_address_

  Registers from_{};
  std::uintptr_t end_ = 0;
  bool depends_on_bp_ = false;  // that it began with
  std::uintptr_t bp_address_ = kInRegister, bp_value_ = 0;  // of the word that is the frame pointer now
  std::uint32_t words_ = 0;
  std::uint32_t offsets_[kMostWords] = {};  // from the first stack pointer, in the order in which they were read
  std::uintptr_t values_[kMostWords] = {};
};
void walk_stack(StackTrace& trace, const Registers& from, WalkRecord& record);
// Of the caller of the function whose __builtin_frame_address(0) this is: reading it makes the compiler keep a frame pointer there.
Registers registers_of_caller(const void* frame_address);

// From the caller of this function on; lull's own frames are left out when lull is a library of its own.
[[gnu::noinline]] void capture_stack(StackTrace& trace);
// Of the code that a signal interrupted; the first frame is the instruction itself + 1, so that all are return addresses.
void capture_context(StackTrace& trace, const void* ucontext);

void forget_frame_rules();
// Finds what lull's own code is. Once, before the first capture; not from inside malloc.
void prepare_captures();

}  // namespace lull::sample

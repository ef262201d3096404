// What the kernel says of another thread of this process, read from /proc. Where there is none, or the process may not be
// looked at (a set-user-ID program), nothing is known. File descriptors are opened and closed meanwhile; errno is kept.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lull::os {

// The stack pointer with which the thread entered the system call in which it waits; 0 when it does not wait in one, or
// nobody knows.
std::uintptr_t stack_of_waiting_thread(int tid);

// Processor time the thread has used; 0 when nobody knows. It stands still while the thread sleeps.
std::uint64_t cpu_ns_of_thread(int tid);

// From its status file.
struct ThreadStatus {
  char name[16] = "?";
  char state = '?';  // as ps shows it: R runs or could, S sleeps, D sleeps uninterruptibly, T is stopped, t is traced
  std::uint64_t blocked_signals = 0;  // bit s - 1: signal s
};
ThreadStatus status_of_thread(int tid);

// The word could be the segment registers in a context that the kernel has saved for a signal handler. Every such context has
// one that is; few other words are.
inline bool may_be_of_signal_frame(std::uintptr_t word) {
  std::uint16_t code_segment;
  asm("mov %%cs, %0" : "=r"(code_segment));
  return static_cast<std::uint16_t>(word) == code_segment;
}

// Memory of this process that may be unmapped at any time.
class OwnMemory {
 public:
  OwnMemory();
  ~OwnMemory();
  OwnMemory(const OwnMemory&) = delete;
  OwnMemory& operator=(const OwnMemory&) = delete;
  // False when not all of it can be read.
  bool read(std::uintptr_t at, void* into, std::size_t bytes) const;

 private:
  int file_;
};

}  // namespace lull::os

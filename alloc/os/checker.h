// Memory checkers that watch the program: AddressSanitizer, of which the program is built, or Valgrind's memcheck, under
// which it runs. This library needs no instrumentation for that: it tells the checker which of its memory the program may touch.
//
// ASan is found by its interface's symbols, which are weak here; Valgrind by its client requests, a few instructions that
// do nothing elsewhere (compiled in when its headers were there).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace lull::os {

enum class Checker : std::uint8_t { none, address_sanitizer, valgrind };

// Looks for one. None, too, in a library that is instrumented itself: its own tests look at freed memory.
Checker find_checker();
// The same, looked up when the library is loaded.
extern constinit std::atomic<Checker> checker_found;
inline Checker checker() { return checker_found.load(std::memory_order_relaxed); }

void forbid_now(std::uintptr_t from, std::size_t bytes);
void allow_now(std::uintptr_t from, std::size_t bytes);
// From now on each access of the program to these bytes is reported. Multiples of 8.
inline void forbid(std::uintptr_t from, std::size_t bytes) {
  if (checker() != Checker::none) [[unlikely]] forbid_now(from, bytes);
}
// They are the program's again.
inline void allow(std::uintptr_t from, std::size_t bytes) {
  if (checker() != Checker::none) [[unlikely]] allow_now(from, bytes);
}

// Memory in which references to malloc's blocks may lie: LeakSanitizer looks there, too.
void tell_leak_checker(std::uintptr_t from, std::size_t bytes);

// A conservative scan looks at words that nobody has written. While it lives, Valgrind reports nothing of the calling thread;
// what it has copied counts as written, when that is told.
class [[nodiscard]] UncheckedScan {
 public:
  UncheckedScan();
  void copied(const void* to, std::size_t bytes);
  ~UncheckedScan();
  UncheckedScan(const UncheckedScan&) = delete;
  UncheckedScan& operator=(const UncheckedScan&) = delete;
};

// ASan's detect_stack_use_after_return keeps frames outside of the stack; the stack holds their addresses.
struct Range { std::uintptr_t from = 0, to = 0; };
void* own_fake_stack();  // nullptr: none. Async-signal-safe
Range fake_frame_at(void* fake_stack, std::uintptr_t address);  // empty: the address is in none

}  // namespace lull::os

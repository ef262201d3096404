#include "alloc/os/checker.h"

#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#define LULL_VALGRIND 1
#else
#define LULL_VALGRIND 0
#endif

// sanitizer/asan_interface.h and lsan_interface.h; null in programs without ASan.
extern "C" {
[[gnu::weak]] void __asan_poison_memory_region(void const volatile* from, std::size_t bytes);
[[gnu::weak]] void __asan_unpoison_memory_region(void const volatile* from, std::size_t bytes);
[[gnu::weak]] void __lsan_register_root_region(const void* from, std::size_t bytes);
[[gnu::weak]] void* __asan_get_current_fake_stack();
[[gnu::weak]] void* __asan_addr_is_in_fake_stack(void* fake_stack, void* address, void** begin, void** end);
}

namespace lull::os {
namespace {

// Not the other tools, callgrind above all: they are to see the program as it is. Not asked under ASan.
[[maybe_unused]] bool runs_on_memcheck() {
#if LULL_VALGRIND
  char probe = 0;
  return VALGRIND_MAKE_MEM_DEFINED(&probe, sizeof probe) != 0;
#else
  return false;
#endif
}

}  // namespace

Checker find_checker() {
#if !defined(__SANITIZE_ADDRESS__)
  if (&__asan_poison_memory_region != nullptr) return Checker::address_sanitizer;
  if (runs_on_memcheck()) return Checker::valgrind;
#endif
  return Checker::none;
}

constinit std::atomic<Checker> checker_found{Checker::none};

namespace {
// Memory that was handed out before is told of when it comes back.
[[gnu::constructor]] void look_for_checker() { checker_found.store(find_checker(), std::memory_order_relaxed); }
}  // namespace

void forbid_now(std::uintptr_t from, std::size_t bytes) {
  if (checker() == Checker::address_sanitizer) __asan_poison_memory_region(reinterpret_cast<void*>(from), bytes);
#if LULL_VALGRIND
  else static_cast<void>(VALGRIND_MAKE_MEM_NOACCESS(reinterpret_cast<void*>(from), bytes));
#endif
}

void allow_now(std::uintptr_t from, std::size_t bytes) {
  if (checker() == Checker::address_sanitizer) __asan_unpoison_memory_region(reinterpret_cast<void*>(from), bytes);
#if LULL_VALGRIND  // defined: fresh pages are zero, and lull writes zeros where it promises them
  else static_cast<void>(VALGRIND_MAKE_MEM_DEFINED(reinterpret_cast<void*>(from), bytes));
#endif
}

void tell_leak_checker(std::uintptr_t from, std::size_t bytes) {
  if (&__lsan_register_root_region != nullptr) __lsan_register_root_region(reinterpret_cast<void*>(from), bytes);
}

UncheckedScan::UncheckedScan() {
#if LULL_VALGRIND
  if (checker() == Checker::valgrind) VALGRIND_DISABLE_ERROR_REPORTING;
#endif
}

void UncheckedScan::copied([[maybe_unused]] const void* to, [[maybe_unused]] std::size_t bytes) {
#if LULL_VALGRIND
  if (checker() == Checker::valgrind) static_cast<void>(VALGRIND_MAKE_MEM_DEFINED(to, bytes));
#endif
}

UncheckedScan::~UncheckedScan() {
#if LULL_VALGRIND
  if (checker() == Checker::valgrind) VALGRIND_ENABLE_ERROR_REPORTING;
#endif
}

void* own_fake_stack() { return &__asan_get_current_fake_stack != nullptr ? __asan_get_current_fake_stack() : nullptr; }

Range fake_frame_at(void* fake_stack, std::uintptr_t address) {
  void *begin = nullptr, *end = nullptr;
  if (__asan_addr_is_in_fake_stack(fake_stack, reinterpret_cast<void*>(address), &begin, &end) == nullptr) return {};
  return {reinterpret_cast<std::uintptr_t>(begin), reinterpret_cast<std::uintptr_t>(end)};
}

}  // namespace lull::os

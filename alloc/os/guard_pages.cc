#include "alloc/os/guard_pages.h"

#include <atomic>
#include <cerrno>
#include <sys/mman.h>

#include "alloc/base/units.h"
#include "alloc/os/checker.h"
#include "alloc/os/vm.h"

namespace lull::os {
namespace {

constexpr int kInstall = 102, kRemove = 103;  // MADV_GUARD_INSTALL and _REMOVE, which older headers do not have

// Under a checker they are forbidden to the program only: LeakSanitizer reads all of the heap.
enum class Kind : std::uint32_t { unknown, markers, mappings, told_to_checker };
constinit std::atomic<Kind> kind{Kind::unknown};
constinit std::atomic<std::uint32_t> mappings{0}, most_mappings{kMostGuards};

// Two threads find the same.
Kind find_kind() {
  Kind found = kind.load(std::memory_order_relaxed);
  if (found != Kind::unknown) return found;
  if (checker() != Checker::none) {
    found = Kind::told_to_checker;
  } else {
    void* probe = map(kPageSize);
    if (probe == nullptr) return Kind::unknown;
    found = ::madvise(probe, kPageSize, kInstall) == 0 ? Kind::markers : Kind::mappings;
    unmap(probe, kPageSize);
  }
  kind.store(found, std::memory_order_relaxed);
  return found;
}

bool install_markers(void* at, std::size_t bytes) {
  if (::madvise(at, bytes, kInstall) == 0) return true;
  ::madvise(at, bytes, kRemove);  // some may have been made before page tables ran out of memory
  return false;
}

bool install_mapping(void* at, std::size_t bytes) {
  if (mappings.fetch_add(1, std::memory_order_relaxed) < most_mappings.load(std::memory_order_relaxed) &&
      ::mprotect(at, bytes, PROT_NONE) == 0) {
    ::madvise(at, bytes, MADV_DONTNEED);
    return true;
  }
  mappings.fetch_sub(1, std::memory_order_relaxed);
  return false;
}

bool tell_checker(void* at, std::size_t bytes) {
  if (::madvise(at, bytes, MADV_DONTNEED) != 0) return false;
  forbid(reinterpret_cast<std::uintptr_t>(at), bytes);
  return true;
}

bool remove_mapping(void* at, std::size_t bytes) {
  if (::mprotect(at, bytes, PROT_READ | PROT_WRITE) != 0) return false;
  mappings.fetch_sub(1, std::memory_order_relaxed);
  return true;
}

}  // namespace

bool install_guard(void* at, std::size_t bytes) {
  const int saved = errno;
  bool done = false;
  switch (find_kind()) {
    case Kind::unknown: break;
    case Kind::markers: done = install_markers(at, bytes); break;
    case Kind::mappings: done = install_mapping(at, bytes); break;
    case Kind::told_to_checker: done = tell_checker(at, bytes); break;
  }
  errno = saved;
  return done;
}

bool remove_guard(void* at, std::size_t bytes) {
  const int saved = errno;
  bool done = true;
  switch (kind.load(std::memory_order_relaxed)) {
    case Kind::unknown: break;  // there is none
    case Kind::markers: done = ::madvise(at, bytes, kRemove) == 0; break;
    case Kind::mappings: done = remove_mapping(at, bytes); break;
    case Kind::told_to_checker: allow(reinterpret_cast<std::uintptr_t>(at), bytes); break;
  }
  errno = saved;
  return done;
}

void use_mappings_as_guards_for_testing(std::uint32_t most) {
  kind.store(Kind::mappings, std::memory_order_relaxed);
  most_mappings.store(most, std::memory_order_relaxed);
}

}  // namespace lull::os

#include "alloc/os/vm.h"

#include <cerrno>
#include <cstring>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "alloc/base/check.h"
#include "alloc/os/injected_fault.h"

namespace lull::os {
namespace {

constinit InjectedFault fault;

void* map_with(std::size_t bytes, int protection) {
  if (fault.hits()) return nullptr;
  void* at = ::mmap(nullptr, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return at == MAP_FAILED ? nullptr : at;
}

}  // namespace

void* reserve(std::size_t bytes, std::size_t alignment) {
  const int saved = errno;
  void* raw = map_with(bytes + alignment, PROT_NONE);
  errno = saved;
  if (raw == nullptr) return nullptr;
  const auto start = reinterpret_cast<std::uintptr_t>(raw);
  const auto aligned = (start + alignment - 1) / alignment * alignment;
  if (aligned > start) ::munmap(raw, aligned - start);
  const auto end = start + bytes + alignment;
  if (end > aligned + bytes) ::munmap(reinterpret_cast<void*>(aligned + bytes), end - (aligned + bytes));
  return reinterpret_cast<void*>(aligned);
}

bool commit(void* at, std::size_t bytes) {
  if (fault.hits()) return false;
  const int saved = errno;
  const bool done = ::mprotect(at, bytes, PROT_READ | PROT_WRITE) == 0;
  errno = saved;
  return done;
}

bool decommit(void* at, std::size_t bytes) {
  const int saved = errno;
  const bool done = ::mprotect(at, bytes, PROT_NONE) == 0;
  if (done) ::madvise(at, bytes, MADV_DONTNEED);
  errno = saved;
  return done;
}

void* map(std::size_t bytes) {
  const int saved = errno;
  void* at = map_with(bytes, PROT_READ | PROT_WRITE);
  errno = saved;
  return at;
}

void* map_readable(std::size_t bytes) {
  const int saved = errno;
  void* at = map_with(bytes, PROT_READ);
  errno = saved;
  return at;
}

bool map_at(void* at, std::size_t bytes) {
  if (fault.hits()) return false;
  const int saved = errno;
  constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE;
  void* got = ::mmap(at, bytes, PROT_READ | PROT_WRITE, kFlags, -1, 0);
  // Before Linux 4.17 the address is a hint.
  if (got != MAP_FAILED && got != at) unmap(got, bytes);
  errno = saved;
  return got == at;
}

void unmap(void* at, std::size_t bytes) {
  LULL_CHECK(::munmap(at, bytes) == 0, "munmap of a mapping of our own failed");
}

bool purge(void* at, std::size_t bytes) {
  constexpr int kDontNeedLocked = 24;  // MADV_DONTNEED_LOCKED, Linux 5.18
  const int saved = errno;
  const bool done = ::madvise(at, bytes, MADV_DONTNEED) == 0 || (errno == EINVAL && ::madvise(at, bytes, kDontNeedLocked) == 0);
  errno = saved;
  return done;
}

bool copy_if_mapped(void* to, const void* from, std::size_t bytes) {
  const iovec into{to, bytes}, what{const_cast<void*>(from), bytes};
  const int saved = errno;
  const auto copied = ::syscall(SYS_process_vm_readv, ::getpid(), &into, 1, &what, 1, 0);
  const bool is_refused = copied < 0 && errno != EFAULT;  // a sandbox
  errno = saved;
  if (is_refused) std::memcpy(to, from, bytes);
  return is_refused || copied == static_cast<long>(bytes);
}

std::size_t physical_memory() {
  const long pages = ::sysconf(_SC_PHYS_PAGES), size = ::sysconf(_SC_PAGESIZE);
  return pages > 0 && size > 0 ? static_cast<std::size_t>(pages) * static_cast<std::size_t>(size) : std::size_t{1} << 30;
}

std::size_t address_space_limit() {
  rlimit limit{};
  const bool is_limited = ::getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
  return is_limited ? static_cast<std::size_t>(limit.rlim_cur) : ~std::size_t{0};
}

void fail_mapping_for_testing(std::int64_t n, bool sticky) {
  fault.set_for_testing(n, sticky);
}

}  // namespace lull::os

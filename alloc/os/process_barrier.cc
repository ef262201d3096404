#include "alloc/os/process_barrier.h"

#include <cerrno>
#include <linux/membarrier.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "alloc/base/check.h"

namespace lull::os {
namespace {

bool membarrier() {
  const auto call = [](int command) { return ::syscall(SYS_membarrier, command, 0, 0) == 0; };
  return call(MEMBARRIER_CMD_PRIVATE_EXPEDITED) ||
         (call(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) && call(MEMBARRIER_CMD_PRIVATE_EXPEDITED));
}

// Where a sandbox forbids membarrier: taking a right away from a page interrupts every processor that runs the process.
void interrupt_by_mprotect() {
  constexpr std::size_t kPage = 4096;
  void* page = ::mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  LULL_CHECK(page != MAP_FAILED, "no memory for a barrier");
  *static_cast<volatile char*>(page) = 1;  // so that processors may hold its translation
  ::mprotect(page, kPage, PROT_READ);
  ::munmap(page, kPage);
}

}  // namespace

void process_barrier() {
  const int saved = errno;
  if (!membarrier()) interrupt_by_mprotect();
  errno = saved;
}

}  // namespace lull::os

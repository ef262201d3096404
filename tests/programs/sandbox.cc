// A program that enters a sandbox after its start, in which no thread may be started, no memory given back and no file opened: the kernel kills who tries.
// LULL_MALLOC=purger=0 and LULL_HUGE_PAGES=0 are for such programs.
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <vector>

namespace {

bool enter_sandbox() {
  std::vector<sock_filter> filter = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
  for (const unsigned call : {SYS_madvise, SYS_clone, SYS_clone3, SYS_membarrier, SYS_openat, SYS_open, SYS_sched_setaffinity, SYS_sched_setscheduler, SYS_process_vm_readv}) {
    filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1));
    filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS));
  }
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  const sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

// Of all sizes, up to 300 MB and back, some times.
void grow_and_shrink() {
  for (int round = 0; round < 3; ++round) {
    std::vector<void*> blocks;
    for (std::size_t held = 0, i = 0; held < 300'000'000; ++i) {
      const std::size_t bytes = i % 100 == 0 ? 1'000'000 : i % 10 == 0 ? 50'000 : 16 + i * 7 % 2000;
      blocks.push_back(std::malloc(bytes));
      std::memset(blocks.back(), 1, bytes);
      held += bytes;
    }
    for (void* block : blocks) std::free(block);
  }
}

}  // namespace

int main() {
  if (!enter_sandbox()) {
    std::printf("skipped: no seccomp, %s\n", std::strerror(errno));
    return 77;
  }
  grow_and_shrink();
  void* volatile too_much = std::malloc(std::size_t{1} << 60);  // what is done when memory runs out
  if (too_much != nullptr) return 1;
  std::puts("ok");
}

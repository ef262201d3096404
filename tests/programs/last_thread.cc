// The first thread ends by pthread_exit(), another goes on, and the process ends with that one, as by exit(0), although the library's own threads
// would go on for ever. Run by CTest, which looks for the last line and does not wait long.
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <pthread.h>

#ifdef LULL_WITH_COLLECTOR
#include "lull/lull.h"
#endif

namespace {

void* volatile last_block;

void nap(long ms) {
  const timespec time{ms / 1000, ms % 1000 * 1'000'000};
  nanosleep(&time, nullptr);
}

// The library has threads of its own after this: something to give back, something to collect.
void use_heap() {
  constexpr int kBlocks = 2000, kBytes = 40'000;
  static void* blocks[kBlocks];
  for (int round = 0; round < 3; ++round) {
    for (auto& block : blocks) last_block = block = std::malloc(kBytes), *static_cast<char*>(block) = 1;
    for (void* block : blocks) std::free(block);
  }
#ifdef LULL_WITH_COLLECTOR
  struct Node {
    lull::ptr<Node> next;
    ~Node() { last_block = nullptr; }
  };
  for (int i = 0; i < 1000; ++i) lull::make<Node>();
  lull::collect();
#endif
}

// Of the first thread, which is still at it when the other one has ended.
void end_slowly(void*) {
  nap(600);
  std::puts("the first thread ends");
}

void* work_on(void*) {
  nap(300);  // the first thread is gone, unless it ends slowly
  use_heap();
  nap(100);
  std::puts("the last thread ends");
  return nullptr;
}

}  // namespace

int main(int count, char** arguments) {
  std::atexit([] { std::puts("as by exit"); });
  const bool slow = count > 1 && arguments[1][0] == 's';
  if (count == 1 || slow) use_heap();  // else the library's threads come after the first one has ended
  pthread_key_t key;
  if (slow && (pthread_key_create(&key, end_slowly) != 0 || pthread_setspecific(key, &key) != 0)) return 1;
  pthread_t thread;
  if (pthread_create(&thread, nullptr, work_on, nullptr) != 0) return 1;
  pthread_detach(thread);
  pthread_exit(nullptr);
}

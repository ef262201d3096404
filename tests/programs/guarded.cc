// Uses memory wrongly in the way that its argument says; guard_run.py runs it with LULL_MALLOC=guard.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <unistd.h>

#include <string>
#include <thread>
#include <vector>

extern "C" {

[[gnu::noinline]] char* make_block(std::size_t size) {
  auto* block = static_cast<char*>(std::malloc(size));
  asm volatile("" : "+r"(block) : : "memory");
  return block;
}
[[gnu::noinline]] void end_block(char* block) {
  std::free(block);
  asm volatile("" : : : "memory");
}
[[gnu::noinline]] void misuse_block(volatile char* at) {
  *at = 1;
  asm volatile("" : : : "memory");
}

}  // extern "C"

namespace {

// Blocks that are flush with the end of their pages.
char* at_page_end(std::size_t size) {
  for (int i = 0; i < 100; ++i) {
    char* block = make_block(size);
    if ((reinterpret_cast<std::size_t>(block) + size) % 4096 == 0) return block;
  }
  return nullptr;
}

void on_segv(int) {
  [[maybe_unused]] auto written = ::write(STDOUT_FILENO, "handler\n", 8);
  ::_exit(3);
}

}  // namespace

int main(int, char** argv) {
  const std::string how = argv[1];
  char* block = at_page_end(64);
  if (how == "overflow") misuse_block(block + 64);
  if (how == "use_after_free") end_block(block), misuse_block(block + 5);
  if (how == "double_free") end_block(block), end_block(block);
  if (how == "in_thread") std::thread([=] { end_block(block), misuse_block(block); }).join();
  if (how == "handler") ::signal(SIGSEGV, on_segv), misuse_block(nullptr);
  // Nothing wrong: every block is guarded while there are slots.
  std::vector<std::string> words;
  for (int i = 0; i < 20'000; ++i) words.push_back(std::to_string(i) + " and some more characters");
  std::thread([words] { words.back().size(); }).join();
  end_block(block);
  std::puts("done");
  return 0;
}

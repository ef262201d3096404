// A program whose profile is known: profile_run.py runs it, and any_environment.py (argument `few`). Prints what it allocated by planted_site and what
// of it is left.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>
#include <vector>

extern "C" {

[[gnu::noinline]] void* planted_site(std::size_t size) {
  void* block = std::malloc(size);
  asm volatile("" : : "r"(block) : "memory");  // no tail call
  return block;
}
[[gnu::noinline]] void* lesser_site(std::size_t size) {
  void* block = std::malloc(size);
  asm volatile("" : : "r"(block) : "memory");
  return block;
}

}  // extern "C"

int main(int argc, char** argv) {
  const bool forks = argc > 1 && std::strcmp(argv[1], "fork") == 0, raises = argc > 1 && std::strcmp(argv[1], "signal") == 0;
  const int blocks = argc > 1 && std::strcmp(argv[1], "few") == 0 ? 3000 : 1'000'000;
  std::size_t allocated = 0, live = 0, lesser = 0;
  std::vector<void*> kept;
  std::thread([&] {
    for (int i = 0; i < blocks; ++i) {
      const std::size_t size = 50 + static_cast<std::size_t>(i) * 7 % 600 + (i % 1000 == 0 ? 50'000 : 0);
      void* block = planted_site(size);
      allocated += size;
      if (i % 4 == 0) {
        live += size;
        kept.push_back(block);
      } else {
        std::free(block);
      }
      if (i % 16 == 0) {
        kept.push_back(lesser_site(100));
        lesser += 100;
      }
    }
  }).join();
  if (raises) ::raise(SIGUSR2);
  if (forks && ::fork() == 0) std::exit(0);
  ::wait(nullptr);
  std::printf("%zu %zu %zu\n", allocated, live, lesser);
  return kept.empty();
}

// malloc is lull's: of glibc's, mallinfo2 would know these blocks.
#include <lull/malloc.h>
#include <malloc.h>

#include <cstdio>
#include <cstdlib>
#include <memory>

int main() {
  auto block = std::make_unique<char[]>(1000);
  void* p = std::malloc(1000);
  const bool fine = lull_malloc_usable_size(p) >= 1000 && lull_malloc_usable_size(block.get()) >= 1000 && mallinfo2().uordblks >= 2000;
  lull_free(p);
  std::puts(fine ? "fine" : "wrong");
  return fine ? 0 : 1;
}

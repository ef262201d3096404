/* A C program: managed objects with precise roots, and explicit memory under lull's names. */
#include <lull/lull_c.h>
#include <lull/malloc.h>
#include <stdio.h>

int main(void) {
  void* block = lull_malloc(100);
  const int fine = block != NULL && lull_malloc_usable_size(block) >= 100;
  lull_free(block);
  puts(fine ? "fine" : "wrong");
  return fine ? 0 : 1;
}

/* A C program, linked statically with lull's archive and no C++ library: with the system's C library and with musl. */
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void* work(void* nothing) {
  for (int i = 0; i < 100000; ++i) {
    const size_t size = (size_t)i % 3000 + (i % 1000 == 0 ? 100000 : 0);
    char* block = malloc(size);
    if (block == NULL || malloc_usable_size(block) < size) abort();
    memset(block, 1, size);
    block = realloc(block, size + 100);
    free(block);
  }
  return nothing;
}

/* Its classes, unlike those of other allocators: what malloc(33) may use. */
static int is_lull(void) {
  void* block = malloc(33);
  const size_t usable = malloc_usable_size(block);
  free(block);
  return usable == 48;
}

int main(void) {
  pthread_t threads[4];
  if (!is_lull()) return puts("another malloc"), 1;
  for (int i = 0; i < 4; ++i) pthread_create(&threads[i], NULL, work, NULL);
  for (int i = 0; i < 30; ++i) {
    const pid_t child = fork();
    int status = 0;
    if (child == 0) {
      alarm(20);
      work(NULL);
      free(strdup("text"));
      _exit(0);
    }
    waitpid(child, &status, 0);
    if (status != 0) return printf("child: status %x\n", (unsigned)status), 1;
  }
  for (int i = 0; i < 4; ++i) pthread_join(threads[i], NULL);
  char* line = NULL;
  size_t length = 0;
  FILE* file = fopen("/proc/self/status", "r");
  if (getline(&line, &length, file) <= 0) return 1;
  fclose(file);
  free(line);
  return 0;
}

/* A program of C that loads a plugin of C++, for itself alone: its C++ library is in no global order of look-up. */
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char** argv) {
  void* plugin = dlopen(argc > 1 ? argv[1] : "", RTLD_NOW | RTLD_LOCAL);
  int (*run_out)(void) = plugin != NULL ? (int (*)(void))dlsym(plugin, "run_out") : NULL;
  if (run_out == NULL) {
    fprintf(stderr, "%s\n", dlerror());
    return 2;
  }
  return run_out();
}

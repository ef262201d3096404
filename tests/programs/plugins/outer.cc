// Loads another library by its bare name: only this library's RUNPATH says where it is.
#include <dlfcn.h>

extern "C" void* outer_load(int flags) {
  void* loaded = dlopen("liblull_test_inner.so", flags);
  asm volatile("" : "+r"(loaded));  // no tail call: dlopen() has to return to this library
  return loaded;
}

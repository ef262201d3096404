// dlopen() without RTLD_DEEPBIND, in the shared library only. A library that is loaded with that flag finds the C library's
// malloc before ours; its blocks then reach our free(), and ours its, and both stop the program. What the flag is for, symbols of
// the same name in program and plugin, works without it as it does everywhere else.
//
// dlopen() looks at its return address to find out whose RUNPATH counts and in which namespace, so this is a jump, not
// a call: the real one sees our caller. The other arguments stay in their registers.
//
// And dlclose(), after which other code may come to lie where sampled stacks had a rule for the old one.
#include <dlfcn.h>

#include "lull/profile.h"

extern "C" {

__attribute__((visibility("hidden"))) void* lull_real_dlopen = nullptr;

// Two threads may find it at once: the same address.
__attribute__((visibility("hidden"))) void lull_find_dlopen() {
  __atomic_store_n(&lull_real_dlopen, ::dlsym(RTLD_NEXT, "dlopen"), __ATOMIC_RELAXED);
}

}  // extern "C"

static_assert(RTLD_DEEPBIND == 8, "the constant in the code below");
asm(R"(
  .text
  .p2align 4
  .globl dlopen
  .type dlopen, @function
dlopen:
  .cfi_startproc
  endbr64
  andl $~8, %esi
  movq lull_real_dlopen(%rip), %rax
  testq %rax, %rax
  je 1f
  jmp *%rax
1:
  pushq %rdi
  .cfi_adjust_cfa_offset 8
  pushq %rsi
  .cfi_adjust_cfa_offset 8
  subq $8, %rsp
  .cfi_adjust_cfa_offset 8
  call lull_find_dlopen
  addq $8, %rsp
  .cfi_adjust_cfa_offset -8
  popq %rsi
  .cfi_adjust_cfa_offset -8
  popq %rdi
  .cfi_adjust_cfa_offset -8
  jmp *lull_real_dlopen(%rip)
  .cfi_endproc
  .size dlopen, .-dlopen
)");

using Close = int (*)(void*);

extern "C" __attribute__((visibility("default"))) int dlclose(void* library) noexcept {
  static Close real_dlclose;
  Close close = __atomic_load_n(&real_dlclose, __ATOMIC_RELAXED);
  if (close == nullptr) {
    close = reinterpret_cast<Close>(::dlsym(RTLD_NEXT, "dlclose"));
    __atomic_store_n(&real_dlclose, close, __ATOMIC_RELAXED);
  }
  const int outcome = close(library);
  lull_profile_forget_code();
  return outcome;
}

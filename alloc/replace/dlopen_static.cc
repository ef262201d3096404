// dlopen() without RTLD_DEEPBIND for programs that link the archive: see dlopen.cc for what the flag does to a heap.
//
// The linker takes this from the archive where the program calls dlopen; then it is found before the C library's by everybody
// in the process. Where only libraries of the program call it, `-Wl,-u,dlopen` brings it in. There is no next dlopen
// to look up in a program without a dynamic section, so this goes on in dlmopen(), which is the same for the namespace that
// the program is in, and which reads its caller from the return address, too: a jump. musl has neither the flag's meaning nor dlmopen.
#include <dlfcn.h>

#if defined(__GLIBC__) && defined(RTLD_DEEPBIND)

static_assert(RTLD_DEEPBIND == 8 && LM_ID_BASE == 0, "the constants in the code below");
asm(R"(
  .text
  .p2align 4
  .globl dlopen
  .type dlopen, @function
dlopen:
  .cfi_startproc
  endbr64
  movl %esi, %edx
  andl $~8, %edx
  movq %rdi, %rsi
  xorl %edi, %edi
  jmp dlmopen@PLT
  .cfi_endproc
  .size dlopen, .-dlopen
)");

#endif

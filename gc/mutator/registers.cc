#include "gc/mutator/registers.h"

#if !defined(__x86_64__)
#error "port: write lull_with_registers for this processor"
#endif

asm(R"(
  .text
  .globl lull_with_registers
  .hidden lull_with_registers
  .type lull_with_registers, @function
lull_with_registers:
  .cfi_startproc
  endbr64
  pushq %rbp
  .cfi_adjust_cfa_offset 8
  pushq %rbx
  .cfi_adjust_cfa_offset 8
  pushq %r12
  .cfi_adjust_cfa_offset 8
  pushq %r13
  .cfi_adjust_cfa_offset 8
  pushq %r14
  .cfi_adjust_cfa_offset 8
  pushq %r15
  .cfi_adjust_cfa_offset 8
  subq $8, %rsp
  .cfi_adjust_cfa_offset 8
  movq %rdi, %rax
  movq %rsi, %rdi
  movq %rsp, %rsi
  call *%rax
  addq $56, %rsp
  .cfi_adjust_cfa_offset -56
  ret
  .cfi_endproc
  .size lull_with_registers, . - lull_with_registers
)");

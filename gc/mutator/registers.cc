#include "gc/mutator/registers.h"

#if !defined(__x86_64__)
#error "port: write lull_with_registers for this processor"
#endif

// Both push the six registers and 8 bytes, so that the callee's stack is aligned: kPushedRegisters in registers.h.
asm(R"(
  .macro LULL_PUSH_REGISTERS
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
  .endm

  .text
  .globl lull_with_registers
  .hidden lull_with_registers
  .type lull_with_registers, @function
lull_with_registers:
  .cfi_startproc
  endbr64
  LULL_PUSH_REGISTERS
  movq %rdi, %rax
  movq %rsi, %rdi
  movq %rsp, %rsi
  call *%rax
  addq $56, %rsp
  .cfi_adjust_cfa_offset -56
  ret
  .cfi_endproc
  .size lull_with_registers, . - lull_with_registers

  .globl lull_fiber_switch_to
  .type lull_fiber_switch_to, @function
lull_fiber_switch_to:
  .cfi_startproc
  endbr64
  LULL_PUSH_REGISTERS
  movq %rsp, %rsi
  call lull_fiber_switch_with_registers
  addq $56, %rsp
  .cfi_adjust_cfa_offset -56
  ret
  .cfi_endproc
  .size lull_fiber_switch_to, . - lull_fiber_switch_to
)");

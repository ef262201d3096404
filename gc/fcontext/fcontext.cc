// The three functions that Boost.Context is built on: make_fcontext, jump_fcontext, ontop_fcontext, with Boost's interface
// (boost/context/detail/fcontext.hpp) and the collector told of every switch. Linked into a program they take the place of those in
// libboost_context, so that whatever switches stacks by Boost.Context (Boost.Fiber, Boost.Coroutine2, spawn of Boost.Asio)
// needs no change. Stacks of lull::fiber_stack_allocator are registered ones; any other becomes a guest (gc/mutator/fibers.h).
//
// A context is the address of a Saved on its stack. From fcontext_leave on, which runs on the old stack, everything of that is in memory
// above it; what runs until the stack pointer changes holds no reference.
#include <cstddef>
#include <cstdint>

#include "gc/mutator/fibers.h"
#include "gc/mutator/mutator.h"
#include "gc/mutator/sanitizers.h"
#include "lull/fiber.h"

#if !defined(__x86_64__)
#error "port: write jump_fcontext for this processor"
#endif

namespace {

using namespace lull;

struct Saved {
  std::uint32_t vector_control;  // MXCSR
  std::uint32_t x87_control;
  gc::FiberStack* stack;  // the stack that this lies on
  void* fake_stack;       // AddressSanitizer's
  std::uintptr_t r15, r14, r13, r12, rbx, rbp;
  std::uintptr_t resume_at;
};
static_assert(sizeof(Saved) == 80 && offsetof(Saved, r15) == 24);

constexpr std::uint32_t kDefaultVectorControl = 0x1f80, kDefaultX87Control = 0x037f;

// The stack that this thread's next make_fcontext is for.
constinit thread_local gc::FiberStack* expected = nullptr;

gc::FiberStack* stack_for(std::uintptr_t high, std::size_t size) {
  gc::FiberStack* stack = expected;
  expected = nullptr;
  if (stack != nullptr && stack->bounds.contains(high - 1)) return stack;
  return gc::register_guest({high - size, high});
}

}  // namespace

extern "C" {

// Tells make_fcontext whose stack comes. Its only caller is lull/boost_context.h, which so makes sure that this file is linked.
void lull_fcontext_expect(lull_fiber* stack) { expected = reinterpret_cast<gc::FiberStack*>(stack); }

void lull_fcontext_begin();

// `sp`: the highest address, exclusive. nullptr when there is no memory for the collector's record.
// What ran on the stack before may have left red zones.
[[gnu::no_sanitize_address]] void* make_fcontext(void* sp, std::size_t size, void (*function)()) {
  const auto high = reinterpret_cast<std::uintptr_t>(sp);
  gc::FiberStack* stack = stack_for(high, size);
  if (stack == nullptr) return nullptr;
  Saved* saved = reinterpret_cast<Saved*>((high & ~std::uintptr_t{15}) - sizeof(Saved));
  gc::set_used_from(*stack, high);  // Boost has put the fiber's function above
  *saved = {};
  saved->vector_control = kDefaultVectorControl;
  saved->x87_control = kDefaultX87Control;
  saved->stack = stack;
  saved->rbx = reinterpret_cast<std::uintptr_t>(function);
  saved->resume_at = reinterpret_cast<std::uintptr_t>(lull_fcontext_begin);
  return saved;
}

// On the old stack. `to` was left by this function, or is new.
[[gnu::no_sanitize_thread, gnu::no_sanitize_address]] void lull_fcontext_leave(Saved* from, Saved* to) {
  gc::Mutator& m = gc::self();
  from->stack = m.current;
  gc::switch_stacks(m, to->stack, reinterpret_cast<std::uintptr_t>(from), nullptr);
  gc::start_switch(*to->stack, &from->fake_stack);
}

// On the new one, with AddressSanitizer only.
[[gnu::no_sanitize_address, gnu::used]] void lull_fcontext_arrive(Saved* at) { gc::finish_switch(at->fake_stack); }

}  // extern "C"

// Until `resume_at` is popped the stack pointer is a multiple of 16.
asm(R"(
  .macro LULL_LEAVE
  endbr64
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  subq $24, %rsp
  stmxcsr (%rsp)
  fnstcw 4(%rsp)
  movq %rdi, %rbx
  movq %rsi, %r12
  movq %rdx, %r13
  movq %rsp, %rdi
  movq %rbx, %rsi
  call lull_fcontext_leave@PLT
  movq %rsp, %r14
  movq %rbx, %rsp
)"
#ifdef LULL_ADDRESS_SANITIZER
    R"(
  movq %rsp, %rdi
  call lull_fcontext_arrive@PLT
)"
#endif
    R"(
  movq %r14, %rax
  movq %r12, %rdx
  movq %r13, %r8
  ldmxcsr (%rsp)
  fldcw 4(%rsp)
  addq $24, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  .endm

  .text
  .globl jump_fcontext
  .type jump_fcontext, @function
jump_fcontext:
  LULL_LEAVE
  ret
  .size jump_fcontext, . - jump_fcontext

  .globl ontop_fcontext
  .type ontop_fcontext, @function
ontop_fcontext:
  LULL_LEAVE
  movq %rax, %rdi
  movq %rdx, %rsi
  jmp *%r8
  .size ontop_fcontext, . - ontop_fcontext

  .globl lull_fcontext_begin
  .hidden lull_fcontext_begin
  .type lull_fcontext_begin, @function
lull_fcontext_begin:
  .cfi_startproc
  .cfi_undefined rip
  endbr64
  movq %rax, %rdi
  movq %rdx, %rsi
  call *%rbx
  xorl %edi, %edi
  call _exit@PLT
  hlt
  .cfi_endproc
  .size lull_fcontext_begin, . - lull_fcontext_begin
)");

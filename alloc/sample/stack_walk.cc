#include "alloc/sample/stack_walk.h"

#include <ucontext.h>

#include <atomic>
#include <bit>

#include "alloc/sample/frame_rules.h"

extern "C" void* __libc_stack_end __attribute__((weak));  // glibc: outer end of the main thread's stack; not in musl

namespace lull::sample {
namespace {

// Rules by address, direct-mapped. `check` is the address xor the rule, so that a reader who meets two writers' halves
// sees that they do not belong together (Hyatt and Mann, "A lock-less transposition table", 2002).
struct Remembered {
  std::atomic<std::uint64_t> check{0}, rule{0};
};
constexpr std::size_t kRemembered = 4096;  // 64 KiB, untouched while nothing is sampled; call sites of a large program
constinit Remembered remembered[kRemembered];

struct PackedRule {
  FrameKind kind;
  std::int8_t unused;
  std::int16_t saved_bp_words;
  std::int32_t offset;
};
static_assert(sizeof(PackedRule) == sizeof(std::uint64_t));

std::uint64_t pack(const FrameRule& rule) {
  const int words = rule.saved_bp / 8;
  if (words * 8 != rule.saved_bp || words != static_cast<std::int16_t>(words)) return pack({});
  return std::bit_cast<std::uint64_t>(PackedRule{rule.kind, 0, static_cast<std::int16_t>(words), rule.offset});
}

FrameRule rule_for(std::uintptr_t pc) {
  Remembered& slot = remembered[(pc * 0x9e3779b97f4a7c15u) >> 52];
  static_assert(kRemembered == std::size_t{1} << (64 - 52));
  std::uint64_t packed = slot.rule.load(std::memory_order_relaxed);
  if ((slot.check.load(std::memory_order_relaxed) ^ packed) != pc) [[unlikely]] {
    packed = pack(find_frame_rule(pc));
    slot.check.store(pc ^ packed, std::memory_order_relaxed);
    slot.rule.store(packed, std::memory_order_relaxed);
  }
  const auto rule = std::bit_cast<PackedRule>(packed);
  return {rule.kind, rule.offset, rule.saved_bp_words * 8};
}

struct Registers { std::uintptr_t pc, sp, bp; };

constexpr std::size_t kLargestStack = std::size_t{1} << 30;

// One past the last byte of the stack that `sp` lies in; 0 when unknown (a coroutine's or a signal's own stack).
std::uintptr_t end_of_stack(std::uintptr_t sp) {
  // glibc keeps a thread's control block at the outer end of its stack.
  const auto self = reinterpret_cast<std::uintptr_t>(__builtin_thread_pointer());
  if (self > sp && self - sp < kLargestStack) return self;
  const std::uintptr_t main_end = &__libc_stack_end == nullptr ? 0 : reinterpret_cast<std::uintptr_t>(__libc_stack_end);
  return main_end > sp && main_end - sp < kLargestStack ? main_end : 0;
}

[[gnu::no_sanitize_address, gnu::no_sanitize_thread]] std::uintptr_t word_at(std::uintptr_t address) {
  return *reinterpret_cast<const volatile std::uintptr_t*>(address);
}

class Walk {
 public:
  explicit Walk(Registers registers) : at_(registers), end_(end_of_stack(registers.sp)) {}
  std::uintptr_t pc() const { return at_.pc; }

  // To the caller's frame. False: there is none, or no way to it.
  [[gnu::no_sanitize_address, gnu::no_sanitize_thread]] bool step() {
    const FrameRule rule = rule_for(at_.pc - 1);
    switch (rule.kind) {
      case FrameKind::from_sp: return leave(at_.sp + offset_of(rule), rule);
      case FrameKind::from_bp: return leave(at_.bp + offset_of(rule), rule);
      case FrameKind::at_bp: return is_readable(at_.bp + offset_of(rule)) && leave(word_at(at_.bp + offset_of(rule)), {.saved_bp = kAtBp});
      case FrameKind::signal: return leave_signal();
      case FrameKind::unknown: return end_ != 0 && at_.bp > at_.sp && is_readable(at_.bp) && leave(at_.bp + 16, {.saved_bp = -16});
      case FrameKind::outermost: break;
    }
    return false;
  }

 private:
  static constexpr std::int32_t kAtBp = 1;
  static constexpr std::size_t kLargestFrame = std::size_t{64} << 20;
  static std::uintptr_t offset_of(const FrameRule& rule) { return static_cast<std::uintptr_t>(std::intptr_t{rule.offset}); }
  bool is_readable(std::uintptr_t word) const { return word % 8 == 0 && word >= at_.sp && (end_ == 0 || word + 8 <= end_); }

  bool leave(std::uintptr_t frame, FrameRule rule) {
    if (frame % 8 != 0 || frame <= at_.sp || frame - at_.sp > kLargestFrame || (end_ != 0 && frame > end_)) return false;
    if (rule.saved_bp == kAtBp) at_.bp = word_at(at_.bp);
    else if (rule.saved_bp != 0) at_.bp = word_at(frame + static_cast<std::uintptr_t>(std::intptr_t{rule.saved_bp}));
    at_.pc = word_at(frame - 8);
    at_.sp = frame;
    return at_.pc > 4096;
  }
  // On to the stack that was interrupted, which may be another one. Its address is that of an instruction.
  [[gnu::no_sanitize_address, gnu::no_sanitize_thread]] bool leave_signal() {
    const auto* context = reinterpret_cast<const ucontext_t*>(at_.sp);
    const auto& registers = context->uc_mcontext.gregs;
    at_ = {static_cast<std::uintptr_t>(registers[REG_RIP]) + 1, static_cast<std::uintptr_t>(registers[REG_RSP]),
           static_cast<std::uintptr_t>(registers[REG_RBP])};
    end_ = end_of_stack(at_.sp);
    return at_.pc > 4096;
  }

  Registers at_;
  std::uintptr_t end_;
};

constinit std::atomic<std::uintptr_t> own_start{0}, own_bytes{0};  // of lull's code, when it is a library of its own

bool is_own(std::uintptr_t pc) {
  return pc - own_start.load(std::memory_order_relaxed) < own_bytes.load(std::memory_order_relaxed);
}

void walk(StackTrace& trace, Registers from) {
  Walk walk(from);
  do {
    if (trace.depth == 0 && is_own(walk.pc())) continue;
    trace.frames[trace.depth++] = walk.pc();
  } while (trace.depth < kMostFrames && walk.step());
}

}  // namespace

// Reading the frame address makes the compiler keep a frame pointer here: saved frame pointer, return address, caller's.
[[gnu::no_sanitize_address, gnu::no_sanitize_thread]] void capture_stack(StackTrace& trace) {
  const auto frame = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  walk(trace, {word_at(frame + 8), frame + 16, word_at(frame)});
}

void capture_context(StackTrace& trace, const void* ucontext) {
  const auto& registers = static_cast<const ucontext_t*>(ucontext)->uc_mcontext.gregs;
  walk(trace, {static_cast<std::uintptr_t>(registers[REG_RIP]) + 1, static_cast<std::uintptr_t>(registers[REG_RSP]),
               static_cast<std::uintptr_t>(registers[REG_RBP])});
}

void forget_frame_rules() {
  for (Remembered& slot : remembered)
    if (slot.rule.load(std::memory_order_relaxed) != 0) slot.rule.store(0, std::memory_order_relaxed);
}

void prepare_captures() {
  remember_objects();
  const CodeRange own = object_of(reinterpret_cast<std::uintptr_t>(&prepare_captures));
  if (own.name == nullptr || own.name[0] == '\0') return;
  own_start.store(own.start, std::memory_order_relaxed);
  own_bytes.store(own.end - own.start, std::memory_order_relaxed);
}

}  // namespace lull::sample

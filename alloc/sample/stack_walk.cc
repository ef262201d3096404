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
  // `record` may be null.
  Walk(const Registers& registers, WalkRecord* record) : at_(registers), end_(end_of_stack(registers.sp)), record_(record) {
    if (record_ != nullptr) record_->begin(registers);
  }
  std::uintptr_t pc() const { return at_.pc; }

  // To the caller's frame. False: there is none, or no way to it.
  [[gnu::no_sanitize_address, gnu::no_sanitize_thread]] bool step() {
    const FrameRule rule = rule_for(at_.pc - 1);
    if (record_ != nullptr && rule.kind != FrameKind::from_sp) note_use(rule.kind);
    switch (rule.kind) {
      case FrameKind::from_sp: return leave(at_.sp + offset_of(rule), rule);
      case FrameKind::from_bp: return leave(at_.bp + offset_of(rule), rule);
      case FrameKind::at_bp: return is_readable(at_.bp + offset_of(rule)) && leave(read(at_.bp + offset_of(rule)), {.saved_bp = kAtBp});
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

  std::uintptr_t read(std::uintptr_t address) const {
    const std::uintptr_t value = word_at(address);
    if (record_ != nullptr) record_->note_read(address, value);
    return value;
  }
  void restore_bp(std::uintptr_t from) {
    at_.bp = word_at(from);
    if (record_ != nullptr) record_->note_saved_bp(from, at_.bp);
  }
  void note_use(FrameKind kind) const {
    if (kind == FrameKind::signal) record_->spoil();
    else if (kind != FrameKind::outermost) record_->note_bp_used();
  }

  bool leave(std::uintptr_t frame, FrameRule rule) {
    if (frame % 8 != 0 || frame <= at_.sp || frame - at_.sp > kLargestFrame || (end_ != 0 && frame > end_)) return false;
    if (rule.saved_bp == kAtBp) restore_bp(at_.bp);
    else if (rule.saved_bp != 0) restore_bp(frame + static_cast<std::uintptr_t>(std::intptr_t{rule.saved_bp}));
    at_.pc = read(frame - 8);
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
  WalkRecord* record_;
};

constinit std::atomic<std::uintptr_t> own_start{0}, own_bytes{0};  // of lull's code, when it is a library of its own

bool is_own(std::uintptr_t pc) {
  return pc - own_start.load(std::memory_order_relaxed) < own_bytes.load(std::memory_order_relaxed);
}

void walk(StackTrace& trace, const Registers& from, WalkRecord* record) {
  Walk walk(from, record);
  do {
    if (trace.depth == 0 && is_own(walk.pc())) continue;
    trace.frames[trace.depth++] = walk.pc();
  } while (trace.depth < kMostFrames && walk.step());
}

}  // namespace

// The saved frame pointer, the return address, the caller's frame.
[[gnu::no_sanitize_address, gnu::no_sanitize_thread]] Registers registers_of_caller(const void* frame_address) {
  const auto frame = reinterpret_cast<std::uintptr_t>(frame_address);
  return {word_at(frame + 8), frame + 16, word_at(frame)};
}

void capture_stack(StackTrace& trace) { walk(trace, registers_of_caller(__builtin_frame_address(0)), nullptr); }

void capture_context(StackTrace& trace, const void* ucontext) {
  const auto& registers = static_cast<const ucontext_t*>(ucontext)->uc_mcontext.gregs;
  walk(trace, {static_cast<std::uintptr_t>(registers[REG_RIP]) + 1, static_cast<std::uintptr_t>(registers[REG_RSP]),
               static_cast<std::uintptr_t>(registers[REG_RBP])}, nullptr);
}

void walk_stack(StackTrace& trace, const Registers& from, WalkRecord& record) { walk(trace, from, &record); }

void WalkRecord::begin(const Registers& from) {
  from_ = from;
  end_ = end_of_stack(from.sp);
  depends_on_bp_ = false;
  bp_address_ = kInRegister;
  words_ = 0;
}

void WalkRecord::note_read(std::uintptr_t address, std::uintptr_t value) {
  if (words_ >= kMostWords || address - from_.sp > ~std::uint32_t{0}) return spoil();
  offsets_[words_] = static_cast<std::uint32_t>(address - from_.sp);
  values_[words_++] = value;
}

void WalkRecord::note_bp_used() {
  if (bp_address_ == kInRegister) depends_on_bp_ = true;
  else if (bp_address_ != kNoted) note_read(bp_address_, bp_value_);
  bp_address_ = kNoted;
}

// Each address follows from words that were compared before it: what the walk would not read is not read here.
[[gnu::no_sanitize_address, gnu::no_sanitize_thread]] bool WalkRecord::repeats(const Registers& from) const {
  if (from.sp != from_.sp || from.pc != from_.pc || (depends_on_bp_ && from.bp != from_.bp) || end_of_stack(from.sp) != end_) return false;
  for (std::uint32_t i = 0; i < words_; ++i)
    if (word_at(from.sp + offsets_[i]) != values_[i]) return false;
  return true;
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

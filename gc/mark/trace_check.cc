#include "gc/mark/trace_check.h"

#include <atomic>
#include <cstdio>

#include "alloc/os/lock.h"
#include "gc/model/colour.h"
#include "lull/tracer.h"

namespace lull {

bool SlotLog::contains(std::uintptr_t slot) const {
  for (std::size_t i = 0; i < count; ++i)
    if (slots[i] == slot) return true;
  return false;
}

void tracer::note_slot(const std::uintptr_t* slot) {
  if (slots_seen_->count == SlotLog::kCapacity) slots_seen_->overflowed = true;
  else slots_seen_->slots[slots_seen_->count++] = reinterpret_cast<std::uintptr_t>(slot);
}

namespace gc {
namespace {

struct Finding {
  const detail::Kind* kind;
  std::size_t offset;
};

constexpr std::size_t kMostFindings = 256;
constinit os::Lock lock{os::LockRank::reports};
constinit Finding findings[kMostFindings] = {};  // lock
constinit std::atomic<std::size_t> found{0};     // written under lock

bool is_new(const detail::Kind& kind, std::size_t offset) {
  os::Locked locked(lock);
  const std::size_t n = found.load(std::memory_order_relaxed);
  for (std::size_t i = 0; i < n; ++i)
    if (findings[i].kind == &kind && findings[i].offset == offset) return false;
  if (n == kMostFindings) return false;
  findings[n] = {&kind, offset};
  found.store(n + 1, std::memory_order_relaxed);
  return true;
}

// A field that is no reference may be written by its thread as any variable: no race that ThreadSanitizer has to tell of.
[[gnu::no_sanitize_thread, gnu::noinline]] std::uintptr_t word_at(std::uintptr_t slot) { return *reinterpret_cast<const volatile std::uintptr_t*>(slot); }

}  // namespace

void report_forgotten_fields(const detail::Kind& kind, std::uintptr_t object, std::size_t bytes, const SlotLog& log) {
  if (log.overflowed) return;
  const std::size_t own = kind.is_array ? bytes : kind.object_bytes;
  for (std::size_t offset = 0; offset + sizeof(std::uintptr_t) <= own; offset += sizeof(std::uintptr_t)) {
    const std::uintptr_t slot = object + offset;
    const std::uintptr_t word = word_at(slot);
    const ObjectRef target = resolve(word);
    const bool into_itself = word - object < bytes;  // a short std::string, say: it keeps nothing
    if (into_itself || !target || !is_candidate(target, current_cycle.load(std::memory_order_relaxed)) || log.contains(slot)) continue;
    if (!is_new(kind, offset)) continue;
    std::fprintf(stderr, "lull: check_trace: trace() of %.*s forgets the pointer at offset %zu\n",
                 static_cast<int>(kind.name.size()), kind.name.data(), offset);
  }
}

std::uint64_t forgotten_fields_reported() { return found.load(std::memory_order_relaxed); }

}  // namespace gc
}  // namespace lull

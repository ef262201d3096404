#include "alloc/os/meta_arena.h"

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "alloc/base/units.h"
#include "alloc/os/injected_fault.h"
#include "alloc/os/lock.h"
#include "alloc/os/vm.h"

namespace lull::os {
namespace {

constexpr std::size_t kChunk = 256 * 1024;
constinit Lock lock{LockRank::metadata};
constinit std::byte* cursor = nullptr;  // lock
constinit std::byte* limit = nullptr;   // lock
constinit std::atomic<std::size_t> mapped{0};
constinit InjectedFault fault;

}  // namespace

void* allocate_meta(std::size_t bytes) {
  if (fault.hits()) return nullptr;
  bytes = round_up(bytes, 64);
  Locked locked(lock);
  if (static_cast<std::size_t>(limit - cursor) < bytes) {
    const std::size_t chunk = std::max(kChunk, round_up(bytes, 4096));
    auto* fresh = static_cast<std::byte*>(map(chunk));
    if (fresh == nullptr) return nullptr;
    mapped.fetch_add(chunk, std::memory_order_relaxed);
    cursor = fresh;
    limit = fresh + chunk;
  }
  void* result = cursor;
  cursor += bytes;
  return result;
}

InjectedFault& meta_fault_for_testing() { return fault; }
Lock& meta_lock_for_fork() { return lock; }
std::size_t meta_bytes() { return mapped.load(std::memory_order_relaxed); }

}  // namespace lull::os

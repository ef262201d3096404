#include "alloc/pages/memory_limit.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>

#include "alloc/os/cgroup.h"
#include "alloc/os/environment.h"

namespace lull::pages {
namespace {

// Relaxed all: figures that steer, nothing is published through them.
constinit std::atomic<std::size_t> set_by_program{kNoMemoryLimit};
constinit std::atomic<std::size_t> limit{kNoMemoryLimit};
constinit std::atomic<bool> was_read{false};
constinit std::atomic<bool> is_short{false};

}  // namespace

void check_memory_limit_variable() {
  const char* text = std::getenv("LULL_MEMORY_LIMIT");
  std::size_t bytes;
  if (text == nullptr || *text == 0 || std::strcmp(text, "0") == 0 || os::parse_bytes(text, bytes)) return;
  os::complain_of_variable("LULL_MEMORY_LIMIT", text);
}

std::size_t effective_limit(std::size_t set, const char* environment, std::size_t container) {
  std::size_t least = set;
  if (std::size_t bytes; environment != nullptr && os::parse_bytes(environment, bytes)) least = std::min(least, bytes);
  if (container != os::kNoLimit) least = std::min(least, container / 10 * 9);
  return least;
}

void refresh_memory_limit() {
  was_read.store(true, std::memory_order_relaxed);
  limit.store(effective_limit(set_by_program.load(std::memory_order_relaxed), std::getenv("LULL_MEMORY_LIMIT"), os::cgroup_memory_limit()),
              std::memory_order_relaxed);
}

std::size_t memory_limit() {
  if (!was_read.load(std::memory_order_relaxed)) refresh_memory_limit();
  return limit.load(std::memory_order_relaxed);
}

std::size_t set_memory_limit(std::size_t bytes) {
  const std::size_t before = set_by_program.exchange(bytes == 0 ? kNoMemoryLimit : bytes, std::memory_order_relaxed);
  refresh_memory_limit();
  return before;
}

bool memory_is_short() { return is_short.load(std::memory_order_relaxed); }

std::size_t note_held(std::size_t bytes) {
  const std::size_t most = limit.load(std::memory_order_relaxed);
  const bool now = bytes > most - most / 8;
  if (now != is_short.load(std::memory_order_relaxed)) is_short.store(now, std::memory_order_relaxed);
  return bytes > most ? bytes - most : 0;
}

}  // namespace lull::pages

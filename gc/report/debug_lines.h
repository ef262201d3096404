// The lines of LULL_DEBUG=pacertrace, scavtrace and alloctrace (docs/observability.md). Pure: they allocate nothing, take no lock and do
// not depend on the locale. Each returns the length of the line with its '\n'; a buffer of kDebugLineSize fits any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "gc/pace/pacer.h"

namespace lull::gc {

inline constexpr std::size_t kDebugLineSize = 1024;

struct PacerReport {
  std::uint64_t cycle = 0;
  bool young = false;
  PacerObservation seen;
  std::uint64_t trigger = 0, goal = 0;  // of the next cycle
  CycleKind next = CycleKind::full;
  std::string_view reason;              // why it is of that kind
};
// pacer 12: 26% CPU for 1234567 B work (1200000 B expected) in 4194304 B -> 4800000 B (goal 5000000 B, -200000 B), cons/mark 1.230;
//   next: full at 7000000 B, goal 8000000 B (young is enough)         [one line]
std::size_t format_pacertrace(const PacerReport& report, char* out, std::size_t size);

struct PurgeReport {
  double seconds = 0;  // since the start
  std::uint64_t given_back = 0, given_back_total = 0;  // bytes
  std::uint64_t idle = 0;                              // free and not given back
  std::uint64_t inuse = 0, committed = 0;
};
// scav @3.456s: 1024 KiB given back, 20480 KiB since the start, 300 KiB idle, 8192 KiB of 32768 KiB in use
std::size_t format_scavtrace(const PurgeReport& report, char* out, std::size_t size);

struct AllocationReport {
  std::uint64_t number = 0;  // of the allocation, all threads counted
  std::int64_t thread = 0;
  std::string_view type;
  std::uint64_t bytes = 0, address = 0;
  std::span<const std::uintptr_t> stack;  // return addresses, innermost first; the first 16 are shown
};
// alloc 1000: thread 77, 32 B at 0x7f0ab5000000, Node; from 0x401234 0x405678
std::size_t format_alloctrace(const AllocationReport& report, char* out, std::size_t size);

}  // namespace lull::gc

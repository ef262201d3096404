// Checking mode check_trace: compares what trace() names with every word of the object that points to an object.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lull/detail/kind.h"

namespace lull {

// Addresses of the slots that trace() visited, for objects of usual size.
struct SlotLog {
  static constexpr std::size_t kCapacity = 1024;
  std::uintptr_t slots[kCapacity];
  std::size_t count = 0;
  bool overflowed = false;
  bool contains(std::uintptr_t slot) const;
};

namespace gc {

// One line on standard error for each field of the type that trace() forgets, once a field.
void report_forgotten_fields(const detail::Kind& kind, std::uintptr_t object, std::size_t bytes, const SlotLog& log);
std::uint64_t forgotten_fields_reported();

}  // namespace gc
}  // namespace lull

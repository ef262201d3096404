// Memory for the library's own records: bump allocation from mapped chunks, never given back. Callers keep free lists.
#pragma once

#include <cstddef>

namespace lull::os {

// Zeroed, aligned to 64 bytes; nullptr when memory runs out. Thread-safe.
[[nodiscard]] void* allocate_meta(std::size_t bytes);
class Lock;
class InjectedFault;
Lock& meta_lock_for_fork();
std::size_t meta_bytes();  // mapped so far
InjectedFault& meta_fault_for_testing();  // of requests for records

}  // namespace lull::os

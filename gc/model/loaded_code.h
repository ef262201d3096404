// Which loaded library an address lies in, and whether that is still there. Unlike dladdr() it waits for no lock of the loader's, whose
// holder may be waiting for the caller, and takes no memory. Where the C library cannot tell (glibc before 2.35, others), nothing lies
// in a library.
#pragma once

#include <cstdint>

namespace lull::gc {

struct LoadedCode {
  std::uintptr_t begin = 0, end = 0;  // what the loader has mapped for it; empty: no library

  bool contains(const void* address) const {
    const auto at = reinterpret_cast<std::uintptr_t>(address);
    return begin <= at && at < end;
  }
  friend bool operator==(const LoadedCode&, const LoadedCode&) = default;
};

LoadedCode loaded_code_at(const void* address);
// Neither the program itself nor what this code is part of, which stay.
LoadedCode unloadable_code_at(const void* address);
// The library of a handle that dlopen() has given.
LoadedCode loaded_code_of(void* library);

}  // namespace lull::gc

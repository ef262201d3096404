// What the C++ adapters throw; where a program is built without exceptions, running out ends it.
#pragma once

#include <cstdlib>
#include <new>

namespace lull::detail {

template <class Exception>
[[noreturn]] inline void throw_or_abort() {
#if defined(__cpp_exceptions)
  throw Exception();
#else
  std::abort();
#endif
}

}  // namespace lull::detail

// Checks. Misuse and corruption stop the process with one line; running out is a value and never comes here.
//   LULL_CHECK   always on: cheap, guards memory safety
//   LULL_DCHECK  debug builds (LULL_DEBUG_CHECKS)
#pragma once

namespace lull {

// Formats on the stack, writes "lull: ..." to standard error, aborts. Takes no lock, allocates nothing.
[[noreturn, gnu::cold, gnu::format(printf, 1, 2)]] void fatal(const char* format, ...);
// The same without the end.
[[gnu::cold, gnu::format(printf, 1, 2)]] void say(const char* format, ...);
// Says it, calls details(subject), which may say more, and aborts.
using Details = void (*)(const void* subject);
[[noreturn, gnu::cold, gnu::format(printf, 3, 4)]] void fatal_about(Details details, const void* subject, const char* format, ...);

}  // namespace lull

#define LULL_CHECK(condition, message) \
  do { \
    if (!(condition)) [[unlikely]] ::lull::fatal("%s (%s)", message, #condition); \
  } while (false)

#if LULL_DEBUG_CHECKS
#define LULL_DCHECK(condition, message) LULL_CHECK(condition, message)
#else
#define LULL_DCHECK(condition, message) static_cast<void>(sizeof(condition))
#endif

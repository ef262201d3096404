// Faults that the library can explain: its part of the handlers of SIGSEGV and SIGBUS. Explaining ends nothing: whoever handled
// the signal before goes on, at last the system.
#pragma once

#include <cstdint>
#include <ucontext.h>

namespace lull::os {

// True: the address was mine, and I have said so. Runs in the handler: async-signal-safe.
using ExplainFault = bool (*)(std::uintptr_t address, const ucontext_t* context);

// `explain` is asked from now on, before those that came later. The first call takes over the signals. At most four, then no
// more are taken; the same one twice counts once. Not from inside malloc; thread-safe.
void explain_faults(ExplainFault explain);

}  // namespace lull::os

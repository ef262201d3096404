// Getting at the callee-saved registers of the calling thread.
#pragma once

#include <cstdint>

namespace lull::gc {

// Pushes the callee-saved registers and calls function(argument, sp); everything live of the callers is in memory at or
// above sp meanwhile. The vector registers are caller-saved in the System V ABI, so the call itself has spilled them.
extern "C" void lull_with_registers(void (*function)(void* argument, std::uintptr_t sp), void* argument);

}  // namespace lull::gc

// Getting at the callee-saved registers of the calling thread.
#pragma once

#include <cstdint>

namespace lull::gc {

// Pushes the callee-saved registers and calls function(argument, sp); everything live of the callers is in memory at or
// above sp meanwhile. The vector registers are caller-saved in the System V ABI, so the call itself has spilled them.
extern "C" void lull_with_registers(void (*function)(void* argument, std::uintptr_t sp), void* argument);

// What both functions of registers.cc have pushed at `sp`: the registers, and behind them and the return address their caller's frame.
inline const std::uintptr_t* pushed_registers(std::uintptr_t sp) { return reinterpret_cast<const std::uintptr_t*>(sp) + 1; }
inline std::uintptr_t callers_sp(std::uintptr_t sp) { return sp + 8 * sizeof(std::uintptr_t); }

}  // namespace lull::gc

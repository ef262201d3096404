// Help for tests of a collector that scans stacks conservatively: pointers it cannot see, and stacks without leftovers.
#pragma once

#include <cstdint>
#include <cstring>
#include <thread>

#include "gc/model/colour.h"
#include "gc/mutator/runtime_section.h"
#include "gc/mutator/services.h"
#include "lull/lull.h"

namespace lull::testing {

// An address disguised so that no scan takes it for a pointer.
class Hidden {
 public:
  Hidden() = default;
  explicit Hidden(const void* p) : bits_(~reinterpret_cast<std::uintptr_t>(p)) {}
  template <class T>
  T* as() const { return reinterpret_cast<T*>(~bits_); }
  std::uintptr_t address() const { return ~bits_; }

 private:
  std::uintptr_t bits_ = ~std::uintptr_t{0};
};

// Overwrites the part of the stack that earlier calls used. Without AddressSanitizer's red zones, which would lie between
// the caller's frame and the array and be skipped.
[[gnu::noinline, gnu::no_sanitize_address]] inline void clear_stack_below() {
  volatile char dirt[16 * 1024];
  for (auto& byte : dirt) byte = 0;
}

// Runs `body` on a thread of its own, so that this thread's stack and registers never see what it handles; nor does the stack of the next
// such thread, which the C library lays where this one was.
template <class Body>
void elsewhere(Body&& body) {
  blocking_region joining;
  std::thread([&] {
    [&]() __attribute__((noinline)) { body(); }();
    clear_stack_below();
  }).join();
}

// Is there an object at the hidden address? Gives this thread's cached spans back, so that their alloc bits are complete;
// other threads must be blocked since the last cycle or gone.
inline bool is_allocated(const Hidden& hidden) {
  gc::Mutator& m = gc::self();
  {
    gc::RuntimeSection section(m);
    m.cache.release_all(gc::span_supply());
  }
  const gc::ObjectRef o = gc::resolve(hidden.address());
  return o && (o.span->alloc_bits()[o.slot / 64].load() & bit_of(o.slot)) != 0;
}

}  // namespace lull::testing

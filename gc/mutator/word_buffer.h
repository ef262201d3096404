// Words of a stack that may be pointers, copied by the thread at its handshake and resolved later by the collector:
// copying is what the pause pays for. Grows by mapping memory, which is async-signal-safe.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lull::gc {

class WordBuffer {
 public:
  // Appends the words of [low, high), aligned inwards, that lie in the heap's range, and those of the frames that ASan keeps
  // elsewhere. False when memory ran out: the cycle must be aborted.
  bool copy_range(std::uintptr_t low, std::uintptr_t high);
  void clear() { count_ = 0; }
  void set_fake_stack(void* fake_stack) { fake_stack_ = fake_stack; }
  const std::uintptr_t* begin() const { return words_; }
  const std::uintptr_t* end() const { return words_ + count_; }
  std::size_t size() const { return count_; }
  // Maps the first piece, so that usual stacks need no system call during the pause.
  bool reserve();
  void shrink();  // outside of handshakes: gives back what an unusually deep stack needed

 private:
  bool grow();
  bool copy_fake_frames(std::uintptr_t low, std::uintptr_t high);

  std::uintptr_t* words_ = nullptr;
  std::size_t count_ = 0, capacity_ = 0;
  void* fake_stack_ = nullptr;  // alloc/os/checker.h
};

}  // namespace lull::gc

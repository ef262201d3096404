// Words of a stack that may be pointers, copied by the thread at its handshake and resolved later by the collector:
// copying is what the pause pays for. Grows by mapping memory, which is async-signal-safe.
#pragma once

#include <cstddef>
#include <cstdint>

#include "gc/model/word_filter.h"

namespace lull::gc {

class WordBuffer {
 public:
  // Appends the words of [low, high), aligned inwards, that lie in the heap's range, and those of the frames that ASan keeps
  // elsewhere. False when memory ran out: the cycle must be aborted.
  bool copy_range(std::uintptr_t low, std::uintptr_t high);
  void clear();
  void set_fake_stack(void* fake_stack) { fake_stack_ = fake_stack; }
  const std::uintptr_t* begin() const { return words_; }
  const std::uintptr_t* end() const { return words_ + count_; }
  std::size_t size() const { return count_; }
  std::size_t capacity() const { return capacity_; }
  // Maps the first piece, so that usual stacks need no system call during the pause.
  bool reserve();
  // Outside of handshakes, after clear(): gives back what an unusually deep stack needed, unless the last copy used a good part
  // of it. A stack that stays deep would have every pause wait for fresh pages otherwise.
  void shrink();
  void give_back();  // the same, whatever the last copy used

 private:
  bool grow(std::size_t room);
  bool copy_fake_frames(std::uintptr_t low, std::uintptr_t high);

  std::uintptr_t* words_ = nullptr;
  std::size_t count_ = 0, capacity_ = 0;
  std::size_t last_count_ = 0, most_count_ = 0;  // when cleared last; since it was mapped
  WordFilter filter_ = filter_words;
  void* fake_stack_ = nullptr;  // alloc/os/checker.h
};

}  // namespace lull::gc

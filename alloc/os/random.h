// Numbers that nobody can guess, from the kernel, some at a time.
#pragma once

#include <cstdint>

namespace lull::os {

// The owner serialises. A forked child draws its own (renew_random_after_fork).
class RandomNumbers {
 public:
  // Uniform in [0, n), but for less than n / 2^32; n > 0.
  std::uint32_t below(std::uint32_t n) { return static_cast<std::uint32_t>(std::uint64_t{next()} * n >> 32); }

 private:
  static constexpr std::uint32_t kNumbers = 64;  // 256 bytes: what getrandom() gives at once, uninterrupted

  std::uint32_t next();
  void refill();

  std::uint32_t numbers_[kNumbers] = {};
  std::uint32_t left_ = 0;
  std::uint32_t generation_ = 0;
};

// In the child: what parents drew beforehand is forgotten.
void renew_random_after_fork();

}  // namespace lull::os

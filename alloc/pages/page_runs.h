// Runs of clear bits in a bitmap: of free pages in a chunk.
#pragma once

#include <bit>
#include <cstdint>

#include "alloc/base/bitmap.h"

namespace lull::pages {

struct Run { std::uint32_t first, length; };

// First run of at least `n` clear bits in a bitmap of `bits`, or the longest one when there is none that long.
inline Run find_clear_run(const std::uint64_t* words, std::uint32_t bits, std::uint32_t n) {
  Run best{0, 0};
  for (std::uint32_t at = next_clear(words, 0, bits); at < bits;) {
    const std::uint32_t end = next_set(words, at, bits);
    if (end - at > best.length) best = {at, end - at};
    if (best.length >= n) return best;
    at = next_clear(words, end, bits);
  }
  return best;
}

// Where the run of clear bits begins that ends at `at`.
inline std::uint32_t begin_of_clear_run(const std::uint64_t* words, std::uint32_t at) {
  while (at > 0) {
    const std::uint32_t word = (at - 1) / 64;
    const std::uint64_t before = words[word] & mask_between(0, at - word * 64);
    if (before != 0) return word * 64 + 64 - static_cast<std::uint32_t>(std::countl_zero(before));
    at = word * 64;
  }
  return 0;
}

// Length of the run of clear bits that [from, to) is a part of, whatever these are.
inline std::uint32_t clear_run_around(const std::uint64_t* words, std::uint32_t bits, std::uint32_t from, std::uint32_t to) {
  return next_set(words, to, bits) - begin_of_clear_run(words, from);
}

// Calls visit(first, places) for each run of clear bits in which `places` > 0 runs of n bits begin, until it says false.
template <class Visit>
void for_each_place(const std::uint64_t* words, std::uint32_t bits, std::uint32_t n, Visit&& visit) {
  for (std::uint32_t at = next_clear(words, 0, bits); at < bits;) {
    const std::uint32_t end = next_set(words, at, bits);
    if (end - at >= n && !visit(at, end - at - n + 1)) return;
    at = next_clear(words, end, bits);
  }
}

inline std::uint32_t count_places(const std::uint64_t* words, std::uint32_t bits, std::uint32_t n) {
  std::uint32_t count = 0;
  for_each_place(words, bits, n, [&](std::uint32_t, std::uint32_t places) {
    count += places;
    return true;
  });
  return count;
}

// The `which`th place, counted from 0.
inline std::uint32_t find_place(const std::uint64_t* words, std::uint32_t bits, std::uint32_t n, std::uint32_t which) {
  std::uint32_t found = 0;
  for_each_place(words, bits, n, [&](std::uint32_t first, std::uint32_t places) {
    found = first + which;
    if (which < places) return false;
    which -= places;
    return true;
  });
  return found;
}

}  // namespace lull::pages

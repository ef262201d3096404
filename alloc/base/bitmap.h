// Bitmaps over arrays of 64-bit words. The plain functions serve memory that one thread owns; functions on
// BitWord (an atomic word) serve bitmaps that others read or set at the same time.
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>
#include <type_traits>

namespace lull {

using BitWord = std::atomic<std::uint64_t>;

constexpr std::uint32_t words_for(std::uint32_t bits) { return (bits + 63) / 64; }
constexpr std::uint64_t bit_of(std::uint32_t index) { return std::uint64_t{1} << (index & 63); }

// `word` with one more bit set. Compilers that keep the 1 in a register shift it, which takes twice the instructions.
inline void add_bit(std::uint64_t& word, std::uint64_t index) {
#if defined(__x86_64__)
  asm("bts %1, %0" : "+r"(word) : "r"(index) : "cc");
#else
  word |= std::uint64_t{1} << (index & 63);
#endif
}

// std::popcount() is a call into libgcc where the compiler may not count on the instruction.
constexpr std::uint32_t count_bits(std::uint64_t word) {
  word -= (word >> 1) & 0x5555555555555555;
  word = (word & 0x3333333333333333) + ((word >> 2) & 0x3333333333333333);
  return static_cast<std::uint32_t>(((word + (word >> 4)) & 0x0f0f0f0f0f0f0f0f) * 0x0101010101010101 >> 56);
}
static_assert(count_bits(0) == 0 && count_bits(~std::uint64_t{0}) == 64 && count_bits(0x8000000000010301) == 5);

// A word with bits [from, to) set, 0 <= from <= to <= 64.
constexpr std::uint64_t mask_between(std::uint32_t from, std::uint32_t to) {
  if (from >= to) return 0;
  const std::uint64_t below_to = to >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << to) - 1;
  return below_to & ~((std::uint64_t{1} << from) - 1);
}

// Calls visit(word index, mask) for each word that [from, to) touches.
template <class Visit>
constexpr void for_words_in_range(std::uint32_t from, std::uint32_t to, Visit&& visit) {
  while (from < to) {
    const std::uint32_t word = from / 64, word_end = (word + 1) * 64;
    const std::uint32_t end = to < word_end ? to : word_end;
    visit(word, ~std::uint64_t{0} >> (64 - (end - from)) << from % 64);  // 1 to 64 bits, so no branch
    from = end;
  }
}

// Index of the first set (clear) bit at or after `from`, or `bits` when there is none. Word is uint64_t or BitWord.
template <class Word>
std::uint32_t next_bit(const Word* words, std::uint32_t from, std::uint32_t bits, bool wanted) {
  while (from < bits) {
    std::uint64_t word;
    if constexpr (std::is_same_v<Word, BitWord>) word = words[from / 64].load(std::memory_order_relaxed);
    else word = words[from / 64];
    if (!wanted) word = ~word;
    word &= ~std::uint64_t{0} << (from % 64);
    if (word != 0) {
      const std::uint32_t found = from / 64 * 64 + static_cast<std::uint32_t>(std::countr_zero(word));
      return found < bits ? found : bits;
    }
    from = (from / 64 + 1) * 64;
  }
  return bits;
}
template <class Word>
std::uint32_t next_set(const Word* words, std::uint32_t from, std::uint32_t bits) { return next_bit(words, from, bits, true); }
template <class Word>
std::uint32_t next_clear(const Word* words, std::uint32_t from, std::uint32_t bits) { return next_bit(words, from, bits, false); }

}  // namespace lull

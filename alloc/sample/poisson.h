// The arithmetic of sampling: sample points are a Poisson process over the bytes that are allocated, so the distance from
// one to the next is exponential with the mean that was asked for, and has no memory: whoever forgets where the next point
// was may draw it anew. A block is a sample if at least one point falls into it. Plain arithmetic, no libm: static programs
// in C link it.
#pragma once

#include <bit>
#include <cstdint>

namespace lull::sample {

// xorshift64* (Marsaglia 2003, Vigna 2016). The seed is not 0.
inline std::uint64_t next_random(std::uint64_t& state) {
  state ^= state >> 12;
  state ^= state << 25;
  state ^= state >> 27;
  return state * 0x2545f4914f6cdd1du;
}

// Natural logarithm of a positive normal number, to about 1e-12.
constexpr double logarithm(double x) {
  const auto bits = std::bit_cast<std::uint64_t>(x);
  int exponent = static_cast<int>(bits >> 52) - 1023;
  double m = std::bit_cast<double>((bits & ~(std::uint64_t{0xfff} << 52)) | std::uint64_t{1023} << 52);  // [1, 2)
  if (m > 1.4142135623730951) {
    m /= 2;
    ++exponent;
  }
  const double t = (m - 1) / (m + 1), square = t * t;  // ln m = 2 artanh t, |t| < 0.172
  double sum = 0, power = t;
  for (int n = 1; n <= 15; n += 2, power *= square) sum += power / n;
  return 2 * sum + exponent * 0.6931471805599453;
}

// Exponentially distributed with mean 1.
inline double exponential(std::uint64_t& state) {
  // In (0, 1]: never 0.
  const double u = static_cast<double>((next_random(state) >> 11) + 1) * 0x1p-53;
  return -logarithm(u);
}

// 1 - e^-x for x >= 0: the probability that a block of x means is a sample.
constexpr double probability(double x) {
  if (x > 40) return 1;
  // e^-x = (e^-(x / 2^n))^(2^n); in terms of p = 1 - e^-y, doubling y makes it p (2 - p), which loses no digits.
  int halvings = 0;
  for (; x > 0.125; x /= 2) ++halvings;
  double term = x, p = 0;
  for (int n = 2; n <= 12; ++n) {
    p += term;
    term *= -x / n;
  }
  for (; halvings > 0; --halvings) p *= 2 - p;
  return p;
}
static_assert(probability(0) == 0);

}  // namespace lull::sample

// lull::histogram: how long something took, in nanoseconds. Plain data, copied out of the runtime.
//
// Log-linear buckets, as in HdrHistogram: every power of two is divided into 16 buckets of equal width, so a
// bucket is at most 1/16 as wide as its smallest value, from 0 to 2^64 - 1. Values below 32 have buckets of
// their own.
//
//   value  = 1 s s s s x ... x   (binary; at exponent e the x are e - 4 bits)
//   bucket = (e - 3) * 16 + ssss  for e >= 4;  bucket = value below 16
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace lull {

struct histogram {
  static constexpr unsigned sub_bucket_bits = 4;  // larger: finer quantiles, twice the memory for each bit
  static constexpr std::size_t sub_buckets = std::size_t{1} << sub_bucket_bits;
  static constexpr std::size_t bucket_count = (64 - sub_bucket_bits + 1) * sub_buckets;

  std::uint64_t count = 0;   // the sum of all buckets
  std::uint64_t sum_ns = 0;  // modulo 2^64
  std::uint64_t max_ns = 0;  // exact
  std::array<std::uint64_t, bucket_count> buckets{};

  static constexpr std::size_t bucket_of(std::uint64_t ns) {
    if (ns < sub_buckets) return static_cast<std::size_t>(ns);
    const auto shift = static_cast<unsigned>(std::bit_width(ns)) - 1 - sub_bucket_bits;
    return shift * sub_buckets + static_cast<std::size_t>(ns >> shift);
  }

  // The values a bucket counts: [bucket_low, bucket_high], both inclusive.
  static constexpr std::uint64_t bucket_low(std::size_t bucket) {
    if (bucket < sub_buckets) return bucket;
    const std::size_t shift = bucket / sub_buckets - 1;
    return std::uint64_t{sub_buckets + bucket % sub_buckets} << shift;
  }
  static constexpr std::uint64_t bucket_high(std::size_t bucket) {
    return bucket + 1 < bucket_count ? bucket_low(bucket + 1) - 1 : ~std::uint64_t{0};
  }

  // The value that the fraction q of all values does not exceed; 0 if there are none. Never too low and at
  // most 1/16 too high: the upper end of its bucket. quantile_ns(1) is max_ns.
  constexpr std::uint64_t quantile_ns(double q) const {
    const std::uint64_t rank = rank_of(q);
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < bucket_count; i++) {
      seen += buckets[i];
      if (seen >= rank && seen > 0) return bucket_high(i) < max_ns ? bucket_high(i) : max_ns;
    }
    return max_ns;
  }

  constexpr double mean_ns() const {
    return count == 0 ? 0 : static_cast<double>(sum_ns) / static_cast<double>(count);
  }

  constexpr void merge(const histogram& other) {
    count += other.count;
    sum_ns += other.sum_ns;
    if (other.max_ns > max_ns) max_ns = other.max_ns;
    for (std::size_t i = 0; i < bucket_count; i++) buckets[i] += other.buckets[i];
  }

 private:
  // ceil(q * count) in [1, count]. What exceeds a whole number by less than rounding does not count as more.
  constexpr std::uint64_t rank_of(double q) const {
    if (!(q > 0)) return 1;
    if (q >= 1) return count;
    const double exact = q * static_cast<double>(count) * (1 - 1e-12);
    const auto whole = static_cast<std::uint64_t>(exact);
    return static_cast<double>(whole) < exact ? whole + 1 : whole;
  }
};

static_assert(histogram::bucket_of(~std::uint64_t{0}) == histogram::bucket_count - 1);
static_assert(histogram::bucket_low(histogram::bucket_of(1u << 20)) == 1u << 20);

}  // namespace lull

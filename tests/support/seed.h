// Seeds of random tests: printed, and given back with LULL_TEST_SEED to replay a run.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>

namespace lull::testing {

inline std::uint64_t announced_seed() {
  const char* given = std::getenv("LULL_TEST_SEED");
  const std::uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 0) : std::random_device()();
  std::printf("LULL_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed));
  return seed;
}

}  // namespace lull::testing

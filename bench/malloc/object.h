// What the benchmarks of malloc share. They call malloc and free as any program does: which allocator answers
// is the loader's affair (LD_PRELOAD, set by tools/bench). The amount of work is fixed, never the time, and
// does not depend on addresses or on the order in which threads run, so each prints the same line under every
// allocator.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

namespace bench {

[[noreturn]] inline void fail(const char* what) {
  std::fprintf(stderr, "failed: %s\n", what);
  std::exit(1);
}

// xorshift64*: a few cycles, no state beyond a register.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15u + 0x632BE59BD9B4E019u) {}

  std::uint64_t next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545F4914F6CDD1Du;
  }

  // Uniform below n, n under 2^32.
  std::size_t below(std::size_t n) { return ((next() >> 32) * n) >> 32; }

 private:
  std::uint64_t state_;
};

// 16 to `most` (a power of two, 32 or more), skewed small: half are at most 32, a quarter at most 64, and so
// on.
inline std::size_t skewed_size(Random& random, std::size_t most) {
  const std::size_t coin_flips = static_cast<std::size_t>(std::countr_zero(random.next() | 1u << 31));
  const std::size_t limit = std::size_t{32} << coin_flips;
  const std::size_t top = limit < most ? limit : most;
  return top / 2 + 1 + random.below(top / 2);
}

// Log-uniform between 2^low and 2^high.
inline std::size_t log_uniform_size(Random& random, unsigned low, unsigned high) {
  const std::size_t base = std::size_t{1} << (low + random.below(high - low));
  return base + random.below(base);
}

// An object knows its size and carries a mark at each end, so whoever frees it can tell that it is whole.
//
//   | bytes (8) | ... | mark (1) |        at least 16 bytes
struct Object {
  std::size_t bytes;

  char& last() { return reinterpret_cast<char*>(this)[bytes - 1]; }
  char mark() const { return static_cast<char>(bytes % 251); }
};

inline Object* make_object(std::size_t bytes) {
  auto* object = static_cast<Object*>(std::malloc(bytes));
  if (object == nullptr) fail("malloc returned null");
  object->bytes = bytes;
  object->last() = object->mark();
  asm volatile("" ::"r"(object) : "memory");  // or the compiler leaves out pairs of malloc and free
  return object;
}

// Null is nothing to drop. Returns the number of objects dropped.
inline std::uint64_t drop_object(Object* object) {
  if (object == nullptr) return 0;
  if (object->last() != object->mark()) fail("an object was overwritten");
  std::free(object);
  return 1;
}

class Arguments {
 public:
  Arguments(int argc, char** argv) : argc_(argc), argv_(argv) {}

  std::string_view word(int index, std::string_view otherwise) const {
    return index < argc_ ? std::string_view(argv_[index]) : otherwise;
  }
  std::size_t number(int index, std::size_t otherwise) const {
    return index < argc_ ? std::stoul(argv_[index]) : otherwise;
  }

 private:
  int argc_;
  char** argv_;
};

inline void print_check(std::uint64_t made, std::uint64_t dropped) {
  if (made != dropped) fail("not every object was dropped once");
  std::printf("ok %llu\n", static_cast<unsigned long long>(dropped));
}

}  // namespace bench

// What the fuzz targets share: an input's bytes as decisions, and a check that stops the program.
//
// A target is one LLVMFuzzerTestOneInput. It leaves nothing behind that another input could notice, apart from memory that the heap
// has reserved, so that an input that fails does so alone. docs/design/testing.md says how to run them.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

// Stops the program; an expression without a value.
#define FUZZ_CHECK(condition) ((condition) ? void() : ::lull::fuzz::stop(__FILE__, __LINE__, #condition))

namespace lull::fuzz {

[[noreturn]] inline void stop(const char* file, int line, const char* condition) {
  std::fprintf(stderr, "%s:%d: %s\n", file, line, condition);
  std::abort();
}

// Reads zeros behind its end.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : at_(data), end_(data + size) {}

  bool is_empty() const { return at_ == end_; }
  std::uint8_t byte() { return at_ == end_ ? std::uint8_t{0} : *at_++; }
  std::uint64_t number(unsigned bytes) {
    std::uint64_t value = 0;
    for (unsigned i = 0; i < bytes; ++i) value |= std::uint64_t{byte()} << 8 * i;
    return value;
  }
  std::uint32_t below(std::uint32_t n) { return static_cast<std::uint32_t>(number(n > 256 ? 2 : 1)) % n; }
  // All magnitudes are about as likely, and so are the edges of the types.
  std::uint64_t any_size() {
    const unsigned bits = byte() % 65;
    const std::uint64_t value = number((bits + 7) / 8);
    return bits == 64 ? ~(value & 0xff) : value & ((std::uint64_t{1} << bits) - 1);
  }
  double any_double() { return std::bit_cast<double>(number(8)); }
  std::string text(std::size_t most) {
    const std::size_t left = static_cast<std::size_t>(end_ - at_), wanted = byte();
    std::string out;
    for (std::size_t i = 0; i < std::min({most, left, wanted}); ++i) out += static_cast<char>(byte());
    return out;
  }
  std::string_view rest() const { return {reinterpret_cast<const char*>(at_), static_cast<std::size_t>(end_ - at_)}; }

 private:
  const std::uint8_t *at_, *end_;
};

// Standard error goes nowhere meanwhile, for functions that tell the user what was wrong with their text. Of the C library's stream
// only: what sanitizers say goes by the descriptor.
class Silence {
 public:
  Silence() : before_(stderr) {
    static std::FILE* const nowhere = std::fopen("/dev/null", "w");
    stderr = nowhere;
  }
  ~Silence() { stderr = before_; }
  Silence(const Silence&) = delete;
  Silence& operator=(const Silence&) = delete;

 private:
  std::FILE* before_;
};

}  // namespace lull::fuzz

// A line of text in a fixed buffer: allocates nothing, takes no lock, does not depend on the locale.
#pragma once

#include <cinttypes>
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>

namespace lull::gc {

// Added before rounding down: 7000 ns * 1e-6 * 1e3 is a little less than 7.
inline constexpr double kRounding = 1e-6;

// Rounds down; nonsense counts as 0, what is too large as the largest.
inline std::uint64_t to_integer(double x) {
  if (!(x > 0)) return 0;
  return x >= 0x1p64 ? ~std::uint64_t{0} : static_cast<std::uint64_t>(x);
}

// What does not fit is dropped.
class TraceLine {
 public:
  TraceLine(char* out, std::size_t size) : out_(out), size_(size) {}

  [[gnu::format(printf, 2, 3)]] void add(const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const int n = std::vsnprintf(out_ + used_, size_ - used_, format, arguments);
    va_end(arguments);
    if (n > 0) used_ += static_cast<std::size_t>(n);
    if (used_ >= size_) used_ = size_ - 1;
  }

  // value / 10^decimals with exactly that many decimals; "%.3f" would use the locale's decimal point.
  void add_decimal(std::uint64_t value, int decimals) {
    std::uint64_t unit = 1;
    for (int i = 0; i < decimals; i++) unit *= 10;
    add("%" PRIu64, value / unit);
    if (decimals > 0) add(".%0*" PRIu64, decimals, value % unit);
  }

  // The newline replaces the last character if there is no room behind it.
  std::size_t finish() {
    if (size_ < 2) return used_;
    if (used_ > size_ - 2) used_ = size_ - 2;
    out_[used_++] = '\n';
    out_[used_] = '\0';
    return used_;
  }

 private:
  char* out_;
  std::size_t size_;      // at least 1
  std::size_t used_ = 0;  // < size_
};

}  // namespace lull::gc

// Text and JSON through a small buffer into a text_sink. Allocates nothing, does not depend on the locale.
#pragma once

#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "lull/text_sink.h"

namespace lull::gc {

class TextWriter {
 public:
  explicit TextWriter(const text_sink& to) : to_(to) {}
  TextWriter(const TextWriter&) = delete;
  TextWriter& operator=(const TextWriter&) = delete;
  ~TextWriter() { flush(); }

  TextWriter& operator<<(std::string_view text) {
    if (text.size() > sizeof buffer_ - used_) flush();
    if (text.size() > sizeof buffer_) {
      to_.put(to_.context, text.data(), text.size());
    } else if (!text.empty()) {
      std::memcpy(buffer_ + used_, text.data(), text.size());
      used_ += text.size();
    }
    return *this;
  }
  TextWriter& operator<<(char c) { return *this << std::string_view(&c, 1); }
  TextWriter& operator<<(std::uint64_t value) { return number(value); }
  TextWriter& operator<<(std::uint32_t value) { return number(value); }
  TextWriter& operator<<(std::int64_t value) { return number(value); }
  // The shortest text that means this number.
  TextWriter& operator<<(double value) { return std::isfinite(value) ? number(value) : *this << (value > 0 ? "+Inf" : "-Inf"); }
  TextWriter& operator<<(const char* text) { return *this << std::string_view(text); }

  // Quoted, for JSON. Bytes that are not ASCII pass as they are: names come from the compiler in UTF-8.
  TextWriter& json(std::string_view text) {
    *this << '"';
    for (char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      constexpr const char* kHex = "0123456789abcdef";
      if (c == '"' || c == '\\') *this << '\\' << c;
      else if (byte < 0x20) *this << "\\u00" << kHex[byte >> 4] << kHex[byte & 15];
      else *this << c;
    }
    return *this << '"';
  }

  void flush() {
    if (used_ != 0) to_.put(to_.context, buffer_, used_);
    used_ = 0;
  }

 private:
  template <class Number>
  TextWriter& number(Number value) {
    char digits[32];
    const std::to_chars_result end = std::to_chars(digits, digits + sizeof digits, value);
    return *this << std::string_view(digits, static_cast<std::size_t>(end.ptr - digits));
  }

  text_sink to_;
  std::size_t used_ = 0;
  char buffer_[2048];
};

// Commas between the items of a list: writes none before the first.
class Comma {
 public:
  friend TextWriter& operator<<(TextWriter& out, Comma& comma) {
    if (comma.needed_) out << ',';
    comma.needed_ = true;
    return out;
  }

 private:
  bool needed_ = false;
};

}  // namespace lull::gc

// Text and JSON through a small buffer into a text_sink. Allocates nothing, does not depend on the locale.
#pragma once

#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "lull/text_sink.h"

namespace lull::gc {

// Bytes of the character that the text begins with; 0: what is there is not UTF-8. https://www.rfc-editor.org/rfc/rfc3629#section-4
inline std::size_t character_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const unsigned first = byte(0), second = byte(1);
  const std::size_t length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  for (std::size_t i = 1; i < length; ++i)
    if (byte(i) >> 6 != 2) return 0;
  const bool is_too_long = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
  const bool is_no_character = (first == 0xed && second >= 0xa0) || (first == 0xf4 && second >= 0x90);
  return is_too_long || is_no_character ? 0 : length;
}

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

  // Quoted, for JSON.
  TextWriter& json(std::string_view text) {
    *this << '"';
    characters(text, [this](char c) {
      const auto byte = static_cast<unsigned char>(c);
      constexpr const char* kHex = "0123456789abcdef";
      if (c == '"' || c == '\\') *this << '\\' << c;
      else if (byte < 0x20) *this << "\\u00" << kHex[byte >> 4] << kHex[byte & 15];
      else *this << c;
    });
    return *this << '"';
  }
  // Those of ASCII as put_ascii(c) likes, others as they are. Readers refuse a whole text for a byte that is not UTF-8, and not everything is: the
  // kernel cuts names of threads off after 15 bytes, arguments are any bytes.
  template <class PutAscii>
  void characters(std::string_view text, PutAscii&& put_ascii) {
    while (!text.empty()) {
      const std::size_t length = character_length(text);
      if (length == 1) put_ascii(text.front());
      else *this << (length == 0 ? "\xef\xbf\xbd" : text.substr(0, length));  // U+FFFD, the replacement character
      text.remove_prefix(length == 0 ? 1 : length);
    }
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

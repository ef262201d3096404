// A strict reader of JSON (RFC 8259) for what lull writes: stops the program at anything else. Strings are bytes.
#pragma once

#include <cctype>
#include <map>
#include <memory>
#include <vector>

#include "tests/fuzz/input.h"

namespace lull::fuzz {

struct Json {
  enum class Kind : std::uint8_t { null, boolean, number, string, array, object } kind = Kind::null;
  std::string text;  // of strings and numbers
  std::vector<Json> items;
  std::map<std::string, Json> members;

  const Json& at(const std::string& name) const {
    const auto found = members.find(name);
    FUZZ_CHECK(found != members.end());
    return found->second;
  }
};

class JsonReader {
 public:
  explicit JsonReader(std::string_view text) : rest_(text) {}
  Json read() {
    Json value = any();
    skip_space();
    FUZZ_CHECK(rest_.empty());
    return value;
  }

 private:
  char peek() const { return rest_.empty() ? '\0' : rest_.front(); }
  char next() {
    FUZZ_CHECK(!rest_.empty());
    const char c = rest_.front();
    rest_.remove_prefix(1);
    return c;
  }
  void skip_space() {
    while (!rest_.empty() && std::string_view(" \t\r\n").find(rest_.front()) != std::string_view::npos) rest_.remove_prefix(1);
  }
  void expect(std::string_view word) {
    for (char c : word) FUZZ_CHECK(next() == c);
  }

  Json any() {
    skip_space();
    switch (peek()) {
      case '{': return object();
      case '[': return array();
      case '"': return {Json::Kind::string, string(), {}, {}};
      case 't': expect("true"); return {Json::Kind::boolean, "true", {}, {}};
      case 'f': expect("false"); return {Json::Kind::boolean, "false", {}, {}};
      case 'n': expect("null"); return {};
      default: return {Json::Kind::number, number(), {}, {}};
    }
  }
  Json object() {
    Json out{Json::Kind::object, {}, {}, {}};
    next();
    skip_space();
    if (peek() == '}') return next(), out;
    for (;;) {
      skip_space();
      FUZZ_CHECK(peek() == '"');
      std::string name = string();
      skip_space();
      expect(":");
      FUZZ_CHECK(out.members.emplace(std::move(name), any()).second);  // no name twice
      skip_space();
      const char c = next();
      if (c == '}') return out;
      FUZZ_CHECK(c == ',');
    }
  }
  Json array() {
    Json out{Json::Kind::array, {}, {}, {}};
    next();
    skip_space();
    if (peek() == ']') return next(), out;
    for (;;) {
      out.items.push_back(any());
      skip_space();
      const char c = next();
      if (c == ']') return out;
      FUZZ_CHECK(c == ',');
    }
  }
  std::string string() {
    std::string out;
    next();
    for (char c; (c = next()) != '"';) {
      FUZZ_CHECK(static_cast<unsigned char>(c) >= 0x20);
      out += c == '\\' ? escaped() : c;
    }
    return out;
  }
  char escaped() {
    const char c = next();
    if (c == '"' || c == '\\' || c == '/') return c;
    FUZZ_CHECK(c == 'u');  // the only other escape that lull writes, and for single bytes only
    unsigned value = 0;
    for (int i = 0; i < 4; ++i) {
      const char digit = next();
      FUZZ_CHECK(std::isxdigit(static_cast<unsigned char>(digit)));
      value = value * 16 + static_cast<unsigned>(digit <= '9' ? digit - '0' : (digit | 0x20) - 'a' + 10);
    }
    FUZZ_CHECK(value < 0x20);
    return static_cast<char>(value);
  }
  void digits(std::string& out) {
    FUZZ_CHECK(std::isdigit(static_cast<unsigned char>(peek())));
    while (std::isdigit(static_cast<unsigned char>(peek()))) out += next();
  }
  std::string number() {
    std::string out;
    if (peek() == '-') out += next();
    const bool zero = peek() == '0';
    const std::size_t before = out.size();
    digits(out);
    FUZZ_CHECK(!zero || out.size() == before + 1);  // no leading zeros
    if (peek() == '.') out += next(), digits(out);
    if (peek() == 'e' || peek() == 'E') {
      out += next();
      if (peek() == '+' || peek() == '-') out += next();
      digits(out);
    }
    return out;
  }

  std::string_view rest_;
};

}  // namespace lull::fuzz

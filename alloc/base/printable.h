// A text of the user's as a line on a terminal may show it: not too long, and without what moves the cursor or clears the screen.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace lull {

class Printable {
 public:
  explicit Printable(std::string_view text, std::size_t most = kMost) {
    const std::size_t length = std::min({text.size(), most, kMost});
    std::transform(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(length), text_, [](char c) { return c < ' ' || c > '~' ? '?' : c; });
  }
  const char* c_str() const { return text_; }

 private:
  static constexpr std::size_t kMost = 255;
  char text_[kMost + 1] = {};
};

}  // namespace lull

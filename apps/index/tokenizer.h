// What a word is: a run of letters, digits, '_' and bytes above 0x7f that does not start with a digit, 2 to
// 40 bytes long, ASCII letters folded to lower case. Other runs (numbers, single letters, very long blobs)
// are no words and take no position, so "for (i = 0" is the word "for" alone.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

namespace index_service {

inline constexpr std::size_t kMinWordBytes = 2;
inline constexpr std::size_t kMaxWordBytes = 40;

/// Byte -> folded byte, or 0 where the byte separates words.
inline constexpr std::array<char, 256> kFold = [] {
  std::array<char, 256> fold{};
  for (unsigned c = '0'; c <= '9'; ++c) fold[c] = static_cast<char>(c);
  for (unsigned c = 'a'; c <= 'z'; ++c) fold[c] = fold[c - 'a' + 'A'] = static_cast<char>(c);
  for (unsigned c = 0x80; c <= 0xff; ++c) fold[c] = static_cast<char>(c);
  fold['_'] = '_';
  return fold;
}();

/// Calls visit(std::string_view) for each word in order. Folds the text in place: the views point into it.
template <class Visit>
void for_each_word(std::string& text, Visit visit) {
  const auto fold = [](char c) { return kFold[static_cast<unsigned char>(c)]; };
  char* at = text.data();
  char* const end = at + text.size();
  while (at != end) {
    while (at != end && fold(*at) == 0) ++at;
    char* const first = at;
    for (; at != end && fold(*at) != 0; ++at) *at = fold(*at);
    const auto bytes = static_cast<std::size_t>(at - first);
    if (bytes < kMinWordBytes || bytes > kMaxWordBytes || (*first >= '0' && *first <= '9')) continue;
    visit(std::string_view(first, bytes));
  }
}

}  // namespace index_service

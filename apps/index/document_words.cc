#include "apps/index/document_words.h"

#include <algorithm>
#include <functional>

#include "apps/index/tokenizer.h"

namespace index_service {

void DocumentWords::assign(std::string& text) {
  text_.swap(text);
  groups_.clear();
  sequence_.clear();
  if (table_.empty()) table_.resize(1024);
  std::fill(table_.begin(), table_.end(), 0u);
  for_each_word(text_, [this](std::string_view word) { sequence_.push_back(group_of(word)); });
  sort_and_place();
}

std::uint32_t DocumentWords::group_of(std::string_view word) {
  std::size_t slot = free_slot(word);
  if (table_[slot] == 0) {
    if (2 * (groups_.size() + 1) > table_.size()) {
      grow_table();
      slot = free_slot(word);
    }
    const auto number = static_cast<std::uint32_t>(groups_.size());
    groups_.push_back({word, number, 0, 0});
    table_[slot] = number + 1;
  }
  Group& group = groups_[table_[slot] - 1];
  ++group.count;
  return group.number;
}

/// The slot that holds the word, or the free one where it belongs.
std::size_t DocumentWords::free_slot(std::string_view word) const {
  const std::size_t mask = table_.size() - 1;
  std::size_t slot = std::hash<std::string_view>{}(word)&mask;
  while (table_[slot] != 0 && groups_[table_[slot] - 1].word != word) slot = (slot + 1) & mask;
  return slot;
}

void DocumentWords::grow_table() {
  table_.assign(table_.size() * 2, 0u);
  for (const Group& group : groups_) table_[free_slot(group.word)] = group.number + 1;
}

/// Sorts the groups by word, then distributes the positions (a counting sort of sequence_ by group).
void DocumentWords::sort_and_place() {
  std::sort(groups_.begin(), groups_.end(), [](const Group& a, const Group& b) { return a.word < b.word; });
  cursor_.resize(groups_.size());
  positions_.resize(sequence_.size());
  std::uint32_t first = 0;
  for (Group& group : groups_) {
    group.first = cursor_[group.number] = first;
    first += group.count;
  }
  for (std::uint32_t at = 0; at < sequence_.size(); ++at) positions_[cursor_[sequence_[at]]++] = at;
}

}  // namespace index_service

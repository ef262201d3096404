// The distinct words of one text with their positions, sorted: what the indexer turns into postings. Plain
// memory, reused from one document to the next; the same for every memory policy.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace index_service {

class DocumentWords {
 public:
  /// Takes the text over (swaps) and replaces what was here before.
  void assign(std::string& text);

  std::size_t distinct() const { return groups_.size(); }
  std::uint32_t total() const { return static_cast<std::uint32_t>(sequence_.size()); }
  std::string_view word(std::size_t i) const { return groups_[i].word; }
  /// Ascending; a position counts words, not bytes.
  std::span<const std::uint32_t> positions(std::size_t i) const {
    return {positions_.data() + groups_[i].first, groups_[i].count};
  }

 private:
  struct Group {
    std::string_view word;  // into text_
    std::uint32_t number;   // order of first appearance, which sequence_ refers to
    std::uint32_t count;
    std::uint32_t first;  // index into positions_
  };

  std::uint32_t group_of(std::string_view word);
  void grow_table();
  std::size_t free_slot(std::string_view word) const;
  void sort_and_place();

  std::string text_;
  std::vector<Group> groups_;
  std::vector<std::uint32_t> sequence_;   // group number at each position
  std::vector<std::uint32_t> positions_;  // group after group
  std::vector<std::uint32_t> cursor_;     // by group number: where its next position goes
  std::vector<std::uint32_t> table_;  // open addressing, group number + 1; power of two, at most half full
};

}  // namespace index_service

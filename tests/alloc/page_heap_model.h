// A naive model of the page heap: a byte of state for each page, searched from the start. Placement is part of the contract (first fit
// by address), so the model predicts every address, every zero flag and every counter. And runs of pages that know their owner.
#pragma once

#include <algorithm>
#include <cstring>
#include <vector>

#include "alloc/pages/page_heap.h"
#include "alloc/pages/reservation.h"

namespace lull::pages {

inline constexpr std::uint32_t kChunkPages = PageHeap::kChunkPages;
inline constexpr std::size_t kAll = ~std::size_t{0};

struct Pages {
  std::uint32_t first = 0, count = 0;
  PageIndex index() const { return {first}; }
  PageCount length() const { return {count}; }
  std::byte* memory() const { return reinterpret_cast<std::byte*>(address_of({first})); }
};

// Two words a page, one in each half, say whose it is.
inline void stamp(const Pages& run, std::uint64_t owner) {
  for (std::size_t at = 8; at < run.length().bytes(); at += kPageSize / 2)
    std::memcpy(run.memory() + at, &owner, sizeof owner);
}
inline bool has_stamp(const Pages& run, std::uint64_t owner) {
  for (std::size_t at = 8; at < run.length().bytes(); at += kPageSize / 2)
    if (std::memcmp(run.memory() + at, &owner, sizeof owner) != 0) return false;
  return true;
}
inline bool is_zero(const Pages& run) {
  const auto* words = reinterpret_cast<const std::uint64_t*>(run.memory());
  return std::all_of(words, words + run.length().bytes() / 8, [](std::uint64_t w) { return w == 0; });
}
inline void give(const Pages& run) { page_heap.release(run.index(), run.length()); }

// One thread's: nobody else may take or release pages while it is compared.
class PageHeapModel {
 public:
  PageHeapModel() { grow(); }

  // Where `n` pages must come from. What is parked stays aside unless the place would have pages without memory.
  std::uint32_t place_for(std::uint32_t n) {
    const std::uint32_t first = first_place(n);
    const bool has_memory = n <= kChunkPages && first + n <= pages_.size() && count({first, n}, State::dirty) == n;
    if (has_memory || parked_pages_ == 0) return first;
    unpark();
    return first_place(n);
  }
  // And of who takes what was parked, which is the run of this length that came last.
  std::uint32_t parked_place_for(std::uint32_t n) {
    if (n > PageHeap::kLongestParked || parked_[n].empty()) return place_for(n);
    const std::uint32_t first = parked_[n].back();
    parked_[n].pop_back();
    parked_pages_ -= n;
    return first;
  }
  // The first place inside one chunk, or for more than a chunk the first chunk from which on everything is free or not committed yet.
  std::uint32_t first_place(std::uint32_t n) const {
    const auto end = static_cast<std::uint32_t>(pages_.size());
    for (std::uint32_t chunk = 0; chunk < end; chunk += kChunkPages) {
      if (n > kChunkPages) {
        if (is_free(chunk, std::min(chunk + n, end))) return chunk;
        continue;
      }
      for (std::uint32_t at = chunk, length = 0; at < chunk + kChunkPages; ++at) {
        length = is_taken(pages_[at]) ? 0 : length + 1;
        if (length == n) return at + 1 - n;
      }
    }
    return end;
  }
  bool is_free(const Pages& run) const { return is_free(run.first, run.first + run.count); }
  bool is_clean(const Pages& run) const { return count(run, State::clean) == run.count; }

  void grow() {
    pages_.resize(page_heap.end().value, State::clean);
    idle_.resize(pages_.size() / kChunkPages);
  }
  void take(const Pages& run) { set(run, State::used); }
  void give(const Pages& run) {
    set(run, State::dirty);
    for (std::uint32_t chunk = run.first / kChunkPages; chunk * kChunkPages < run.first + run.count; ++chunk) idle_[chunk] = 0;
  }
  void park(const Pages& run) {
    if (run.count > PageHeap::kLongestParked || parked_pages_ + run.count > PageHeap::kMostParked || parked_[run.count].size() == PageHeap::kMostParkedRuns)
      return give(run);
    set(run, State::parked);
    parked_[run.count].push_back(run.first);
    parked_pages_ += run.count;
  }
  void unpark() {
    for (std::uint32_t n = 0; n < std::size(parked_); ++n) {
      for (const std::uint32_t first : parked_[n]) give({first, n});
      parked_[n].clear();
    }
    parked_pages_ = 0;
  }
  void tick() {
    unpark();
    for (unsigned& idle : idle_) ++idle;
  }
  std::size_t purge(unsigned idle_ticks) {
    unpark();
    std::uint32_t purged = 0;
    for (std::uint32_t p = 0; p < pages_.size(); ++p)
      if (pages_[p] == State::dirty && idle_[p / kChunkPages] >= idle_ticks) {
        pages_[p] = State::clean;
        ++purged;
      }
    return PageCount{purged}.bytes();
  }
  std::size_t bytes(char which) const {
    const State state = which == 'u' ? State::used : which == 'd' ? State::dirty : State::clean;
    const std::uint32_t parked = which == 'd' ? parked_pages_ : 0;
    return PageCount{count({0, static_cast<std::uint32_t>(pages_.size())}, state) + parked}.bytes();
  }
  std::size_t committed() const { return pages_.size() * kPageSize; }

 private:
  enum class State : std::uint8_t { clean, dirty, used, parked };

  static bool is_taken(State s) { return s == State::used || s == State::parked; }

  bool is_free(std::uint32_t from, std::uint32_t to) const {
    return std::none_of(pages_.begin() + from, pages_.begin() + to, is_taken);
  }
  std::uint32_t count(const Pages& run, State state) const {
    return static_cast<std::uint32_t>(std::count(pages_.begin() + run.first, pages_.begin() + run.first + run.count, state));
  }
  void set(const Pages& run, State state) { std::fill_n(pages_.begin() + run.first, run.count, state); }

  std::vector<State> pages_;
  std::vector<unsigned> idle_;
  std::vector<std::uint32_t> parked_[PageHeap::kLongestParked + 1];  // by length
  std::uint32_t parked_pages_ = 0;
};

}  // namespace lull::pages

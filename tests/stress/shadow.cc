#include "tests/stress/shadow.h"

#include <cstdio>
#include <cstdlib>

namespace lull::stress {

Record& Shadow::operator[](Id id) {
  const std::size_t c = id / kChunk;
  if (c >= kChunks) {
    std::fprintf(stderr, "too many objects for the shadow\n");
    std::abort();
  }
  Record* chunk = chunks_[c].load(std::memory_order_acquire);
  if (chunk == nullptr) {
    auto* fresh = new Record[kChunk];
    if (chunks_[c].compare_exchange_strong(chunk, fresh, std::memory_order_acq_rel)) chunk = fresh;
    else delete[] fresh;
  }
  return chunk[id % kChunk];
}

std::vector<bool> Shadow::reachable_from(const std::vector<Id>& roots) {
  std::vector<bool> seen(next_.load(std::memory_order_relaxed));
  std::vector<Id> todo;
  std::vector<Id> keepers;
  const auto meet = [&](Id id) {
    if (id == kNone || seen[id]) return;
    seen[id] = true;
    todo.push_back(id);
  };
  for (Id id : roots) meet(id);
  for (bool more = true; more;) {
    while (!todo.empty()) {
      const Id id = todo.back();
      todo.pop_back();
      for (const Edge& e : (*this)[id].edges) meet(e.target);
      if ((*this)[id].shape == Shape::keeper) keepers.push_back(id);
    }
    for (Id keeper : keepers)
      for (const auto& [key, value] : (*this)[keeper].entries)
        if (seen[key]) meet(value);
    more = !todo.empty();
  }
  return seen;
}

void Shadow::forget_unreachable(const std::vector<bool>& reachable) {
  for_each([&](Id id, Record& r) {
    if (!reachable[id]) {
      r.alive.store(false, std::memory_order_relaxed);
      r.edges = {};
      r.watched = {};
      r.entries = {};
      return;
    }
    for (Id& id_of_watched : r.watched)
      if (!reachable[id_of_watched]) id_of_watched = kNone;
    std::erase_if(r.entries, [&](const auto& entry) { return !reachable[entry.first]; });
  });
  while (oldest_ < next_.load(std::memory_order_relaxed) && !(*this)[oldest_].alive.load(std::memory_order_relaxed)) ++oldest_;
}

}  // namespace lull::stress

// An immutable sorted list of small values that hold pointers, in two levels: a table of chunks of at most 32
// items. A changed list shares all chunks but one with the list it was made from, so changing one of n items
// copies n/32 pointers and 32 items; a reader that holds the old list keeps exactly the parts it needs alive.
// Items have key(); null stands for the empty list.
//
// Invariants: no chunk is empty; keys ascend strictly over the whole list; size is the sum of the chunk
// sizes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

namespace index_service {

// Larger: less table, more copying within the chunk. 32 was the fastest of 16, 32 and 64 with shared_ptr.
inline constexpr std::size_t kChunkItems = 32;

template <class M, class Item>
struct SortedList {
  using Chunk = typename M::template array<Item>;

  std::uint32_t size = 0;
  typename M::template array<Chunk> chunks;

  template <class Tracer>
  void trace(Tracer& t) const {
    t(chunks);
  }
};

/// A place in a list: items before it have smaller keys. chunk == chunks.size() is the end.
struct ListPlace {
  std::size_t chunk = 0;
  std::size_t item = 0;
};

/// The first place in this chunk whose key is not less; chunk.size() if there is none.
template <class Chunk, class Key>
std::size_t lower_bound_in_chunk(const Chunk& chunk, const Key& key) {
  std::size_t low = 0, high = chunk.size();
  while (low < high) {
    const std::size_t middle = (low + high) / 2;
    if (chunk[middle].key() < key) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

/// The first place at or after `from` whose key is not less. Cheap when it lies in the chunk of `from` or at
/// the end.
template <class M, class Item, class Key>
ListPlace lower_bound(const SortedList<M, Item>& list, const Key& key, ListPlace from = {}) {
  const auto last_key_is_less = [&](std::size_t c) {
    const auto& chunk = list.chunks[c];
    return chunk[chunk.size() - 1].key() < key;
  };
  std::size_t low = from.chunk, high = list.chunks.size();
  if (low < high && !last_key_is_less(low)) high = low;
  if (low < high && last_key_is_less(high - 1)) low = high;
  while (low < high) {
    const std::size_t middle = (low + high) / 2;
    if (last_key_is_less(middle)) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  if (low == list.chunks.size()) return {low, 0};
  return {low, lower_bound_in_chunk(list.chunks[low], key)};
}

template <class M, class Item>
bool is_end(const SortedList<M, Item>& list, ListPlace at) {
  return at.chunk == list.chunks.size();
}

template <class M, class Item>
ListPlace next(const SortedList<M, Item>& list, ListPlace at) {
  return at.item + 1 < list.chunks[at.chunk].size() ? ListPlace{at.chunk, at.item + 1}
                                                    : ListPlace{at.chunk + 1, 0};
}

template <class M, class Item>
const Item& item_at(const SortedList<M, Item>& list, ListPlace at) {
  return list.chunks[at.chunk][at.item];
}

/// Makes changed copies of lists; the originals stay as they are.
template <class M, class Item>
class ListEditor {
 public:
  using List = SortedList<M, Item>;
  using Chunk = typename List::Chunk;
  using ListPtr = typename M::template ptr<List>;

  /// The list with the item added, or put in place of the one with the same key.
  static ListPtr with(const ListPtr& old, const Item& item) {
    if (!old) return single(item);
    const auto key = item.key();
    ListPlace at = lower_bound(*old, key);
    if (is_end(*old, at)) {
      at = {at.chunk - 1, old->chunks[at.chunk - 1].size()};
      if (at.item == kChunkItems) return appended(*old, item);
    } else if (item_at(*old, at).key() == key) {
      return with_chunk(*old, at.chunk, replaced(old->chunks[at.chunk], at.item, item), old->size);
    }
    const Chunk grown = inserted(old->chunks[at.chunk], at.item, item);
    if (grown.size() <= kChunkItems) return with_chunk(*old, at.chunk, grown, old->size + 1);
    return with_split_chunk(*old, at.chunk, grown);
  }

  /// The list without the item of this key; the same list if there is none; null if nothing is left.
  template <class Key>
  static ListPtr without(const ListPtr& old, const Key& key) {
    if (!old) return old;
    const ListPlace at = lower_bound(*old, key);
    if (is_end(*old, at) || !(item_at(*old, at).key() == key)) return old;
    if (old->size == 1) return ListPtr();
    const Chunk& chunk = old->chunks[at.chunk];
    if (chunk.size() > 1) return with_chunk(*old, at.chunk, erased(chunk, at.item), old->size - 1);
    ListPtr list = make_list(old->chunks.size() - 1, old->size - 1);
    copy(old->chunks, 0, at.chunk, list->chunks, 0);
    copy(old->chunks, at.chunk + 1, old->chunks.size(), list->chunks, at.chunk);
    return list;
  }

 private:
  static ListPtr make_list(std::size_t chunks, std::uint32_t size) {
    ListPtr list = M::template make<List>();
    list->size = size;
    list->chunks = M::template make_array<Chunk>(chunks);
    return list;
  }

  template <class A>
  static void copy(const A& from, std::size_t first, std::size_t last, const A& to, std::size_t at) {
    while (first < last) to[at++] = from[first++];
  }

  static ListPtr single(const Item& item) {
    ListPtr list = make_list(1, 1);
    list->chunks[0] = M::template make_array<Item>(1);
    list->chunks[0][0] = item;
    return list;
  }

  static ListPtr appended(const List& old, const Item& item) {
    const std::size_t n = old.chunks.size();
    ListPtr list = make_list(n + 1, old.size + 1);
    copy(old.chunks, 0, n, list->chunks, 0);
    list->chunks[n] = M::template make_array<Item>(1);
    list->chunks[n][0] = item;
    return list;
  }

  static ListPtr with_chunk(const List& old, std::size_t at, const Chunk& chunk, std::uint32_t size) {
    ListPtr list = make_list(old.chunks.size(), size);
    copy(old.chunks, 0, at, list->chunks, 0);
    list->chunks[at] = chunk;
    copy(old.chunks, at + 1, old.chunks.size(), list->chunks, at + 1);
    return list;
  }

  static ListPtr with_split_chunk(const List& old, std::size_t at, const Chunk& grown) {
    const std::size_t half = grown.size() / 2;
    ListPtr list = make_list(old.chunks.size() + 1, old.size + 1);
    copy(old.chunks, 0, at, list->chunks, 0);
    list->chunks[at] = slice(grown, 0, half);
    list->chunks[at + 1] = slice(grown, half, grown.size());
    copy(old.chunks, at + 1, old.chunks.size(), list->chunks, at + 2);
    return list;
  }

  static Chunk slice(const Chunk& chunk, std::size_t first, std::size_t last) {
    Chunk result = M::template make_array<Item>(last - first);
    copy(chunk, first, last, result, 0);
    return result;
  }

  static Chunk replaced(const Chunk& chunk, std::size_t at, const Item& item) {
    Chunk result = M::template make_array<Item>(chunk.size());
    copy(chunk, 0, at, result, 0);
    result[at] = item;
    copy(chunk, at + 1, chunk.size(), result, at + 1);
    return result;
  }

  static Chunk inserted(const Chunk& chunk, std::size_t at, const Item& item) {
    Chunk result = M::template make_array<Item>(chunk.size() + 1);
    copy(chunk, 0, at, result, 0);
    result[at] = item;
    copy(chunk, at, chunk.size(), result, at + 1);
    return result;
  }

  static Chunk erased(const Chunk& chunk, std::size_t at) {
    Chunk result = M::template make_array<Item>(chunk.size() - 1);
    copy(chunk, 0, at, result, 0);
    copy(chunk, at + 1, chunk.size(), result, at);
    return result;
  }
};

}  // namespace index_service

// lull::concurrent_map<Key, Value>: a hash map for many threads whose memory the collector reclaims.
//
//   lull::concurrent_map<std::uint64_t, Session> sessions;
//   sessions.insert_or_assign(id, Session{...});
//   if (auto entry = sessions.find(id)) use(entry->second);   // stays valid, whatever others erase meanwhile
//
// Reading takes no lock and writes nothing: a key that is not there costs one cache line, one that is there a second one, its
// entry's. What find() returns is a ptr to an entry that never changes; assigning puts a new entry in its place. Writers of one
// shard take turns.
// That readers need neither counts nor epochs nor hazard pointers is what a collector is good for.
//
// The map lives anywhere (its tables hang on roots); keys and values may hold references like members of managed objects.
// Errors: std::bad_alloc, and what hash, comparison and copies throw; the map is unchanged then. All functions are
// thread-safe but the destructor. Reading may not collect, writing may.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <type_traits>
#include <utility>

#include "lull/make.h"
#include "lull/ptr.h"
#include "lull/root.h"
#include "lull/thread.h"

namespace lull {

template <class Key, class Value>
struct map_entry : std::pair<const Key, Value> {
  using std::pair<const Key, Value>::pair;
};
template <class Key, class Value>
struct no_pointers<map_entry<Key, Value>> : std::bool_constant<no_pointers<Key>::value && no_pointers<Value>::value> {};
template <class Key, class Value>
struct droppable<map_entry<Key, Value>> : std::bool_constant<droppable<Key>::value && droppable<Value>::value> {};

template <class Key, class Value, class Hash = std::hash<Key>, class Equal = std::equal_to<Key>>
class concurrent_map {
 public:
  using entry_type = map_entry<Key, Value>;
  using entry_ptr = ptr<const entry_type>;

  concurrent_map() = default;
  concurrent_map(const concurrent_map&) = delete;
  concurrent_map& operator=(const concurrent_map&) = delete;

  // Null: there is none.
  entry_ptr find(const Key& key) const {
    const std::size_t hash = hash_of(key);
    return entry_ptr(find_place(tables_[shard_of(hash)].load(), hash, key).entry);
  }
  bool contains(const Key& key) const { return static_cast<bool>(find(key)); }

  // False: the key was there, and stays as it is.
  bool insert(const Key& key, Value value) { return put(key, std::move(value), false); }
  // True: the key is new.
  bool insert_or_assign(const Key& key, Value value) { return put(key, std::move(value), true); }

  // True: the key was there.
  bool erase(const Key& key) {
    const std::size_t hash = hash_of(key);
    Shard& shard = shards_[shard_of(hash)];
    const auto lock = shard.lock();
    const Place place = find_place(tables_[shard_of(hash)].load(), hash, key);
    if (place.entry == nullptr) return false;
    place.group->clear(place.index);
    shard.count(-1);
    // A group that others passed keeps their marks until the next rebuild: it counts as full there, so that the rebuild comes.
    if (!place.group->was_passed()) --shard.used;
    return true;
  }

  // Entries that are there all the time are visited once; others may be.
  template <class Visit>
  void for_each(Visit&& visit) const {
    for (const auto& root : tables_) {
      const ptr<Group[]> table = root.load();
      for (const Group& group : table)
        for (const auto& place : group.entries)
          if (const ptr<entry_type> entry = place.load()) visit(static_cast<const entry_type&>(*entry));
    }
  }
  void clear() {
    for (std::size_t i = 0; i < kShards; ++i) {
      Shard& shard = shards_[i];
      const auto lock = shard.lock();
      tables_[i].store(nullptr);
      shard.size.store(0, std::memory_order_relaxed);
      shard.used = 0;
    }
  }
  // Exact while nobody writes.
  std::size_t size() const {
    std::size_t sum = 0;
    for (const Shard& shard : shards_) sum += shard.size.load(std::memory_order_relaxed);
    return sum;
  }
  bool empty() const { return size() == 0; }

 private:
  // Open addressing over groups of seven entries, each a cache line (after Boost's unordered_flat_map, whose groups have fifteen
  // entries and lie beside them). `control`, one byte each: for each entry a tag from its hash, 0: none; and which eighths of the
  // hashes have an entry that found this group full and went on to the next ones: a search for others ends here.
  //
  // Without locks that is right since an entry stays where it is until it is erased, is there before its tag, and is compared
  // by its key: a tag that a reader saw may lead to the entry of another key by then, or to none. A key that is erased and
  // inserted again elsewhere meanwhile may be missed; there was a moment when it was not there.
  static constexpr unsigned kEntries = 7;
  struct alignas(64) Group {
    std::array<atomic_ptr<entry_type>, kEntries> entries;
    std::atomic<std::uint64_t> control{0};

    void trace(tracer& t) const {
      for (const auto& entry : entries) t(entry);
    }
    // Both by the shard's writer only.
    void fill(unsigned index, std::uint64_t tag, const ptr<entry_type>& entry) {
      entries[index].store(entry);
      // release: pairs with the acquire in find_place(); the entry is there before its tag
      control.store(control.load(std::memory_order_relaxed) | tag << 8 * index, std::memory_order_release);
    }
    void clear(unsigned index) {
      control.store(control.load(std::memory_order_relaxed) & ~(std::uint64_t{255} << 8 * index), std::memory_order_relaxed);
      entries[index].store(nullptr);
    }
    void let_pass(std::uint64_t mark) {
      control.store(control.load(std::memory_order_relaxed) | mark, std::memory_order_relaxed);  // before the passer is there
    }
    bool was_passed() const { return control.load(std::memory_order_relaxed) >> 8 * kEntries != 0; }
  };
  static_assert(sizeof(Group) == 64);
  struct Place {
    Group* group;
    unsigned index;
    entry_type* entry;  // null: not found
  };
  // What writers change at each turn lies on other cache lines than the tables' roots, which every reader needs.
  struct alignas(64) Shard {
    std::mutex writing;
    std::atomic<std::size_t> size{0};
    std::size_t used = 0;  // entries, and places that count as used since; writing

    // Who has it may be waiting for a cycle, which must not wait for us.
    std::unique_lock<std::mutex> lock() {
      std::unique_lock taken(writing, std::try_to_lock);
      if (!taken) {
        const blocking_region waiting;
        taken.lock();
      }
      return taken;
    }
    void count(int change) {  // writing: nobody else changes it
      size.store(size.load(std::memory_order_relaxed) + static_cast<std::size_t>(change), std::memory_order_relaxed);
    }
  };
  // At most five sevenths are used: fuller groups are passed more often, emptier ones waste memory.
  static constexpr std::size_t kShards = 32, kMostUsed = 5;

  // std::hash of a number is the number: mixed (the two halves of a product, as wyhash and Boost.Unordered do). The upper bits
  // choose the shard, the lower ones the group, others the tag and the mark.
  static std::size_t hash_of(const Key& key) {
    __extension__ using Product = unsigned __int128;
    const auto product = static_cast<Product>(Hash{}(key) ^ 0x2d358dccaa6c78a5u) * 0x9e3779b97f4a7c15u;
    return static_cast<std::size_t>(product >> 64) ^ static_cast<std::size_t>(product);
  }
  static std::uint64_t tag_of(std::size_t hash) {
    const std::uint64_t tag = hash >> 48 & 255;
    return tag == 0 ? 1 : tag;
  }
  static std::uint64_t mark_of(std::size_t hash) { return std::uint64_t{1} << (8 * kEntries + (hash >> 44 & 7)); }
  // Bit 7 of each of the seven bytes that is `tag`. Bytes above one may be told by mistake; the lowest one never.
  static std::uint64_t places_with(std::uint64_t tag, std::uint64_t control) {
    constexpr std::uint64_t ones = 0x0101010101010101;
    const std::uint64_t rest = control ^ tag * ones;
    return (rest - ones) & ~rest & (ones << 7 >> 8);
  }
  static std::size_t shard_of(std::size_t hash) { return hash >> (64 - std::countr_zero(kShards)); }

  [[gnu::always_inline]] static Place find_place(const ptr<Group[]>& table, std::size_t hash, const Key& key) {
    if (!table) return {nullptr, 0, nullptr};
    const std::size_t mask = table.size() - 1;
    const std::uint64_t tag = tag_of(hash), mark = mark_of(hash);
    for (std::size_t i = hash & mask;; i = (i + 1) & mask) {
      Group& group = table[i];
      const std::uint64_t control = group.control.load(std::memory_order_acquire);  // pairs with the release in fill()
      for (std::uint64_t left = places_with(tag, control); left != 0; left &= left - 1) {
        const unsigned index = static_cast<unsigned>(std::countr_zero(left)) / 8;
        entry_type* entry = group.entries[index].load().get();
        if (entry != nullptr && Equal{}(entry->first, key)) [[likely]] return {&group, index, entry};
      }
      if ((control & mark) == 0) [[likely]] return {nullptr, 0, nullptr};
    }
  }
  static void fill(const ptr<Group[]>& table, std::size_t hash, const ptr<entry_type>& entry) {
    const std::size_t mask = table.size() - 1;
    for (std::size_t i = hash & mask;; i = (i + 1) & mask) {
      const std::uint64_t empty = places_with(0, table[i].control.load(std::memory_order_relaxed));
      if (empty != 0) return table[i].fill(static_cast<unsigned>(std::countr_zero(empty)) / 8, tag_of(hash), entry);
      table[i].let_pass(mark_of(hash));
    }
  }

  bool put(const Key& key, Value value, bool assign) {
    const std::size_t hash = hash_of(key);
    Shard& shard = shards_[shard_of(hash)];
    atomic_root<Group[]>& root = tables_[shard_of(hash)];
    if (!assign && find(key)) return false;
    ptr<entry_type> entry = lull::make<entry_type>(key, std::move(value));  // outside of the lock: may collect
    const auto lock = shard.lock();
    const ptr<Group[]> table = root.load();
    if (const Place place = find_place(table, hash, key); place.entry != nullptr) {
      if (assign) place.group->entries[place.index].store(entry);
      return false;
    }
    if (shard.used >= table.size() * kMostUsed) rebuild(shard, root);
    fill(root.load(), hash, entry);
    ++shard.used;
    shard.count(+1);
    return true;
  }

  // A table with room, without marks of what was erased. Readers of the old one see what was there when they came.
  static void rebuild(Shard& shard, atomic_root<Group[]>& root) {
    const ptr<Group[]> old = root.load();
    const std::size_t live = shard.size.load(std::memory_order_relaxed);
    const ptr<Group[]> fresh = lull::make_array<Group>(std::bit_ceil(live * 4 / (3 * kMostUsed) + 1));  // a third of it to grow
    for (const Group& group : old)
      for (const auto& place : group.entries)
        if (const ptr<entry_type> entry = place.load()) fill(fresh, hash_of(entry->first), entry);
    shard.used = live;
    root.store(fresh);
  }

  alignas(64) std::array<atomic_root<Group[]>, kShards> tables_;
  std::array<Shard, kShards> shards_;
};

}  // namespace lull

// lull::concurrent_map<Key, Value>: a hash map for many threads whose memory the collector reclaims.
//
//   lull::concurrent_map<std::uint64_t, Session> sessions;
//   sessions.insert_or_assign(id, Session{...});
//   if (auto entry = sessions.find(id)) use(entry->second);   // stays valid, whatever others erase meanwhile
//
// Reading takes no lock and writes nothing: two dependent loads for a hit without collisions. What find() returns is a ptr to an
// entry that never changes; assigning puts a new entry in its place. Writers of one shard take turns.
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
#include <utility>

#include "lull/make.h"
#include "lull/ptr.h"
#include "lull/root.h"

namespace lull {

template <class Key, class Value, class Hash = std::hash<Key>, class Equal = std::equal_to<Key>>
class concurrent_map {
 public:
  using entry_type = std::pair<const Key, Value>;
  using entry_ptr = ptr<const entry_type>;

  concurrent_map() = default;
  concurrent_map(const concurrent_map&) = delete;
  concurrent_map& operator=(const concurrent_map&) = delete;

  // Null: there is none.
  entry_ptr find(const Key& key) const {
    const std::size_t hash = hash_of(key);
    const Slot* slot = find_slot(shard_of(hash).table.load(), hash, key);
    return slot == nullptr ? entry_ptr() : entry_ptr(slot->entry.load());
  }
  bool contains(const Key& key) const { return static_cast<bool>(find(key)); }

  // False: the key was there, and stays as it is.
  bool insert(const Key& key, Value value) { return put(key, std::move(value), false); }
  // True: the key is new.
  bool insert_or_assign(const Key& key, Value value) { return put(key, std::move(value), true); }

  // True: the key was there.
  bool erase(const Key& key) {
    const std::size_t hash = hash_of(key);
    Shard& shard = shard_of(hash);
    const std::lock_guard lock(shard.writing);
    Slot* slot = find_slot(shard.table.load(), hash, key);
    if (slot == nullptr) return false;
    slot->entry.store(nullptr);  // the hash stays: probes for others go on behind it
    shard.size.fetch_sub(1, std::memory_order_relaxed);
    return true;
  }

  // Entries that are there all the time are visited once; others may be.
  template <class Visit>
  void for_each(Visit&& visit) const {
    for (const Shard& shard : shards_) {
      const ptr<Slot[]> table = shard.table.load();
      for (std::size_t i = 0; i < table.size(); ++i)
        if (const ptr<entry_type> entry = table[i].entry.load()) visit(static_cast<const entry_type&>(*entry));
    }
  }
  void clear() {
    for (Shard& shard : shards_) {
      const std::lock_guard lock(shard.writing);
      shard.table.store(nullptr);
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
  // Open addressing, linear probing. hash 0: nothing was here ever, a search ends. Entry null: nothing is here now.
  struct Slot {
    std::atomic<std::size_t> hash{0};
    atomic_ptr<entry_type> entry;
    void trace(tracer& t) const { t(entry); }
  };
  struct alignas(64) Shard {
    atomic_root<Slot[]> table;
    std::atomic<std::size_t> size{0};
    std::size_t used = 0;  // slots with a hash; writing
    std::mutex writing;
  };
  static constexpr std::size_t kShards = 32, kFirstSlots = 8;

  // The upper bits choose the shard, the lower ones the slot; never 0. std::hash of a number is the number: mixed (Stafford's
  // variant 13 of MurmurHash3's finaliser).
  static std::size_t hash_of(const Key& key) {
    std::uint64_t h = Hash{}(key);
    h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9u;
    h = (h ^ (h >> 27)) * 0x94d049bb133111ebu;
    return (h ^ (h >> 31)) | 1u << 31;
  }
  Shard& shard_of(std::size_t hash) { return shards_[hash >> (64 - std::countr_zero(kShards))]; }
  const Shard& shard_of(std::size_t hash) const { return shards_[hash >> (64 - std::countr_zero(kShards))]; }

  static Slot* find_slot(const ptr<Slot[]>& table, std::size_t hash, const Key& key) {
    if (!table) return nullptr;
    const std::size_t mask = table.size() - 1;
    for (std::size_t i = hash & mask;; i = (i + 1) & mask) {
      Slot& slot = table[i];
      // acquire: pairs with the release in fill(); the entry is there before its hash
      const std::size_t seen = slot.hash.load(std::memory_order_acquire);
      if (seen == 0) return nullptr;
      if (seen != hash) continue;
      const ptr<entry_type> entry = slot.entry.load();
      if (entry && Equal{}(entry->first, key)) return &slot;
    }
  }
  static void fill(const ptr<Slot[]>& table, std::size_t hash, const ptr<entry_type>& entry) {
    const std::size_t mask = table.size() - 1;
    std::size_t i = hash & mask;
    while (table[i].hash.load(std::memory_order_relaxed) != 0) i = (i + 1) & mask;
    table[i].entry.store(entry);
    table[i].hash.store(hash, std::memory_order_release);  // pairs with find_slot()
  }

  bool put(const Key& key, Value value, bool assign) {
    const std::size_t hash = hash_of(key);
    Shard& shard = shard_of(hash);
    if (!assign && find(key)) return false;
    ptr<entry_type> entry = lull::make<entry_type>(key, std::move(value));  // outside of the lock: may collect
    const std::lock_guard lock(shard.writing);
    if (Slot* slot = find_slot(shard.table.load(), hash, key)) {
      if (assign) slot->entry.store(entry);
      return false;
    }
    if (const ptr<Slot[]> table = shard.table.load(); (shard.used + 1) * 4 > table.size() * 3) rebuild(shard);
    fill(shard.table.load(), hash, entry);
    ++shard.used;
    shard.size.fetch_add(1, std::memory_order_relaxed);
    return true;
  }

  // A table with room, without what was erased. Readers of the old one see what was there when they came.
  static void rebuild(Shard& shard) {
    const ptr<Slot[]> old = shard.table.load();
    const std::size_t live = shard.size.load(std::memory_order_relaxed);
    std::size_t slots = kFirstSlots;
    while (slots < 2 * (live + 1)) slots *= 2;
    const ptr<Slot[]> fresh = lull::make_array<Slot>(slots);
    std::size_t used = 0;
    for (std::size_t i = 0; i < old.size(); ++i)
      if (const ptr<entry_type> entry = old[i].entry.load()) {
        fill(fresh, old[i].hash.load(std::memory_order_relaxed), entry);
        ++used;
      }
    shard.used = used;
    shard.table.store(fresh);
  }

  std::array<Shard, kShards> shards_;
};

}  // namespace lull

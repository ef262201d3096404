// lull::ephemeron_map<Key, Value>: what belongs to an object but is kept beside it. The value lives while the key does.
//
// Keys are weak and compared by address. An entry whose key has become unreachable vanishes in the cycle that finds it so,
// also when its value leads back to the key (Hayes 1997, "Ephemerons: a new finalization mechanism"): unlike a table of
// weak_ptr and ptr, no cycle through the map keeps anything alive. A key that is not a managed object never dies.
//
// Lives where a ptr may live. An entry costs 16 bytes beside its slots in the table. Thread-safety is that of
// std::unordered_map: one writer or several readers; the collector counts as neither.
#pragma once

#include <cstddef>
#include <utility>

#include "lull/detail/ephemeron.h"
#include "lull/ptr.h"

namespace lull {

template <class Key, class Value>
class ephemeron_map {
 public:
  using key_type = ptr<Key>;
  using mapped_type = ptr<Value>;

  ephemeron_map() noexcept = default;
  ephemeron_map(const ephemeron_map&) = delete;
  ephemeron_map& operator=(const ephemeron_map&) = delete;
  ephemeron_map(ephemeron_map&& other) noexcept : table_(other.table_) { other.table_.clear(); }
  ephemeron_map& operator=(ephemeron_map&& other) noexcept {
    if (this == &other) return *this;
    table_ = other.table_;
    other.table_.clear();
    return *this;
  }

  // Inserting may allocate: std::bad_alloc, and the map is as it was then. A null key stops the process.
  // False: there is an entry already, which stays as it is.
  bool insert(const ptr<Key>& key, const ptr<Value>& value) {
    if (table_.find(word(key)) != nullptr) return false;
    table_.add(word(key), word(value));
    return true;
  }
  // False: there was an entry; it has the new value.
  bool insert_or_assign(const ptr<Key>& key, const ptr<Value>& value) {
    detail::EphemeronCell* cell = table_.find(word(key));
    if (cell == nullptr) return insert(key, value);
    table_.assign(*cell, word(value));
    return false;
  }

  ptr<Value> find(const ptr<Key>& key) const noexcept {  // empty: not there
    const detail::EphemeronCell* cell = table_.find(word(key));
    return cell == nullptr ? ptr<Value>() : value_of(*cell);
  }
  bool contains(const ptr<Key>& key) const noexcept { return table_.find(word(key)) != nullptr; }
  bool erase(const ptr<Key>& key) noexcept {  // false: not there
    detail::EphemeronCell* cell = table_.find(word(key));
    if (cell != nullptr) table_.remove(*cell);
    return cell != nullptr;
  }
  void clear() noexcept { table_.clear(); }

  // At least the number of live entries; those of dead keys count until the table is next rebuilt.
  std::size_t size() const noexcept { return table_.entries(); }

  // visit(ptr<Key>, ptr<Value>) for each live entry, in no order. It may erase and assign; what it inserts may be visited or not.
  template <class Visit>
  void for_each(Visit&& visit) const {
    const detail::EphemeronTable::Slots slots = table_.slots();
    for (const ptr<detail::EphemeronCell>& slot : slots) {
      const detail::EphemeronCell* cell = slot.get();
      if (cell == nullptr) continue;
      const ptr<Key> key(reinterpret_cast<Key*>(detail::lock_key(cell)));
      if (key) visit(key, value_of(*cell));
    }
  }

  void trace(tracer& t) const { t(table_); }

 private:
  template <class T>
  static detail::Word word(const ptr<T>& p) noexcept { return reinterpret_cast<detail::Word>(p.get()); }
  static ptr<Value> value_of(const detail::EphemeronCell& cell) {
    return ptr<Value>(reinterpret_cast<Value*>(detail::load_word(&cell.value)));
  }

  detail::EphemeronTable table_;
};

}  // namespace lull

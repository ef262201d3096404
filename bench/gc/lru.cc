// A least-recently-used cache: a hash table with chains and a list in both directions, values of 16 to 511 bytes. Keys are
// skewed (the cube of a uniform number), so that most look-ups hit and move their entry to the front: seven stores into old objects. A
// miss inserts and evicts the oldest: objects die in the order of their last use, the worst case of the generational
// hypothesis.
//
//   lru_MEMORY [entries = 300000] [million look-ups = 8]

#include "bench/gc/program.h"

namespace {

using bench::Field;
using bench::Local;
using bench::Memory;

struct Entry {
  Entry(std::uint64_t k, Memory::Array<char> v) noexcept : chain(nullptr), newer(nullptr), older(nullptr), value(std::move(v)), key(k) {}
  template <class Tracer>
  void trace(Tracer& t) const { t(chain, newer, older, value); }

  Field<Entry> chain, newer, older;
  Memory::Array<char> value;
  std::uint64_t key;
};

// Lives on the stack.
class Cache {
 public:
  explicit Cache(std::size_t capacity) : buckets_(Memory::make_table<Entry>(capacity)), capacity_(capacity) {}

  // True: it was there.
  bool look_up(std::uint64_t key) {
    for (Entry* e = &*bucket(key); e != nullptr; e = &*e->chain) {
      if (e->key != key) continue;
      damaged_ |= e->value[0] != static_cast<char>(key);
      if (e != &*newest_) move_to_front(*e);
      return true;
    }
    insert(key);
    return false;
  }

  bool is_damaged() const { return damaged_; }

 private:
  static std::size_t value_bytes(std::uint64_t key) { return 16 + key * 0x9e3779b97f4a7c15 % 496; }
  Field<Entry>& bucket(std::uint64_t key) { return buckets_[key % capacity_]; }

  void insert(std::uint64_t key) {
    if (size_ == capacity_) evict_oldest();
    auto value = Memory::make_array<char>(value_bytes(key));
    value[0] = static_cast<char>(key);
    auto entry = Memory::make<Entry>(key, std::move(value));
    entry->chain = bucket(key);
    bucket(key) = Memory::field(entry);
    push_front(std::move(entry));
    ++size_;
  }

  void push_front(Local<Entry> entry) {
    entry->older = Memory::field(newest_);
    if (newest_ != nullptr) newest_->newer = Memory::field(entry);
    if (oldest_ == nullptr) oldest_ = entry;
    newest_ = std::move(entry);
  }

  // Not the newest.
  void move_to_front(Entry& e) {
    auto entry = Memory::load(e.newer->older);
    unlink(e);
    push_front(std::move(entry));
  }

  void unlink(Entry& e) {
    if (e.older != nullptr) e.older->newer = e.newer;
    else oldest_ = Memory::load(e.newer);
    if (e.newer != nullptr) e.newer->older = e.older;
    else newest_ = Memory::load(e.older);
    e.newer = nullptr;
    e.older = nullptr;
  }

  void evict_oldest() {
    auto victim = oldest_;
    unlink(*victim);
    Field<Entry>* link = &bucket(victim->key);
    while (&**link != &*victim) link = &(*link)->chain;
    *link = Field<Entry>(victim->chain);
    Memory::free_array(victim->value);
    Memory::free(&*victim);
    --size_;
  }

  bench::Table<Entry> buckets_;
  Local<Entry> newest_ = nullptr, oldest_ = nullptr;
  std::size_t capacity_, size_ = 0;
  bool damaged_ = false;
};

}  // namespace

int main(int argc, char** argv) {
  bench::Program program("lru", argc, argv);
  const auto entries = program.next<std::size_t>("entries", 300'000), steps = program.next<std::size_t>("millions", 8) * 1'000'000;
  Cache cache(entries);
  bench::Random random(1);
  std::size_t hits = 0;
  for (std::size_t i = 0; i < steps; ++i) {
    const double uniform = static_cast<double>(random.next() >> 11) * 0x1p-53;
    hits += cache.look_up(static_cast<std::uint64_t>(uniform * uniform * uniform * static_cast<double>(entries * 8)));
  }
  program.check(!cache.is_damaged(), "a value is damaged");
  program.add("hit_percent", static_cast<double>(hits * 100) / static_cast<double>(steps));
  return program.end();
}

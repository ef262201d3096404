// A state in a few machine words: what the explorer stores and compares.
#pragma once
#include <cstdint>
#include <cstring>

namespace model {

using u8 = std::uint8_t;
using u64 = std::uint64_t;

template <int W>
struct Packed {
  u64 w[W];
  bool operator==(const Packed&) const = default;
  bool operator<(const Packed& o) const {
    for (int i = 0; i < W; ++i)
      if (w[i] != o.w[i]) return w[i] < o.w[i];
    return false;
  }
  u64 hash() const {
    u64 h = 0x9e3779b97f4a7c15ull;
    for (int i = 0; i < W; ++i) {
      h ^= w[i];
      h *= 0xff51afd7ed558ccdull;
      h ^= h >> 32;
    }
    return h * 0xc4ceb9fe1a85ec53ull >> 7;
  }
};

template <int W>
class Bits {
 public:
  void put(u64 v, int n) {
    int i = at_ >> 6, s = at_ & 63;
    p_.w[i] |= v << s;
    if (s + n > 64) p_.w[i + 1] |= v >> (64 - s);
    at_ += n;
  }
  u64 get(int n) {
    int i = at_ >> 6, s = at_ & 63;
    u64 v = p_.w[i] >> s;
    if (s + n > 64) v |= p_.w[i + 1] << (64 - s);
    at_ += n;
    return v & ((1ull << n) - 1);
  }
  Bits() { std::memset(&p_, 0, sizeof p_); }
  explicit Bits(const Packed<W>& p) : p_(p) {}
  const Packed<W>& value() const { return p_; }
  int length() const { return at_; }

 private:
  Packed<W> p_;
  int at_ = 0;
};

// transfer(io, state) calls io(field, bits) for each field of a state: to pack it, and to fill it again.
template <class Key, class State, class Transfer>
Key pack_fields(State s, Transfer&& transfer) {
  Bits<sizeof(Key) / sizeof(u64)> bits;
  transfer([&](u8& field, int n) { bits.put(field, n); }, s);
  return bits.value();
}
template <class State, class Key, class Transfer>
State unpack_fields(const Key& key, Transfer&& transfer) {
  State s{};
  Bits<sizeof(Key) / sizeof(u64)> bits(key);
  transfer([&](u8& field, int n) { field = u8(bits.get(n)); }, s);
  return s;
}

}  // namespace model

// lull::atomic<lull::ptr<T>>, which is std::atomic<lull::ptr<T>> too: lull::atomic_ptr with the whole interface of std::atomic<T*>, for
// code that is written for it or for std::atomic<std::shared_ptr<T>>.
//
//   std::atomic<lull::ptr<Node>> head;                       // a member of a managed object, or on a stack
//   while (!head.compare_exchange_weak(seen, node)) ...
//
// Lock-free, one word. Memory orders are taken for hints: loads acquire and stores release at least, which is what the collector
// needs to see an object's contents; seq_cst is one on stores, exchanges and compare-exchanges (all locked instructions on x86-64), and a
// seq_cst load orders as there. Lives where a ptr may live; elsewhere lull::atomic_root. Arrays: atomic<ptr<T[]>>.
#pragma once

#include <atomic>
#include <cstdint>

#include "lull/ptr.h"

namespace lull {

template <class Pointer>
class atomic;

template <class T>
class atomic<ptr<T>> : public atomic_ptr<T> {
 public:
  using value_type = ptr<T>;
  static constexpr bool is_always_lock_free = true;

  using atomic_ptr<T>::atomic_ptr;
  atomic() noexcept = default;
  bool is_lock_free() const noexcept { return true; }
  operator ptr<T>() const noexcept { return load(); }
  ptr<T> operator=(const ptr<T>& desired) noexcept {
    store(desired);
    return desired;
  }

  ptr<T> load(std::memory_order order = std::memory_order_seq_cst) const noexcept {
    return order == std::memory_order_seq_cst ? this->as_ptr(__atomic_load_n(this->raw(), __ATOMIC_SEQ_CST)) : atomic_ptr<T>::load();
  }
  void store(const ptr<T>& desired, std::memory_order order = std::memory_order_seq_cst) noexcept { static_cast<void>(exchange(desired, order)); }
  ptr<T> exchange(const ptr<T>& desired, std::memory_order = std::memory_order_seq_cst) noexcept {
    const detail::Word value = detail::to_word(desired.get());
    const detail::Word old = __atomic_exchange_n(this->raw(), value, __ATOMIC_SEQ_CST);
    detail::after_store(this->raw(), old, value);
    return this->as_ptr(old);
  }
  // Never fails without cause, also not the weak one.
  bool compare_exchange_strong(ptr<T>& expected, const ptr<T>& desired, std::memory_order = std::memory_order_seq_cst) noexcept {
    detail::Word seen = detail::to_word(expected.get());
    const detail::Word value = detail::to_word(desired.get());
    if (!__atomic_compare_exchange_n(this->raw(), &seen, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
      expected = this->as_ptr(seen);
      return false;
    }
    detail::after_store(this->raw(), seen, value);
    return true;
  }
  bool compare_exchange_strong(ptr<T>& expected, const ptr<T>& desired, std::memory_order success, std::memory_order) noexcept {
    return compare_exchange_strong(expected, desired, success);
  }
  bool compare_exchange_weak(ptr<T>& expected, const ptr<T>& desired, std::memory_order order = std::memory_order_seq_cst) noexcept {
    return compare_exchange_strong(expected, desired, order);
  }
  bool compare_exchange_weak(ptr<T>& expected, const ptr<T>& desired, std::memory_order success, std::memory_order) noexcept {
    return compare_exchange_strong(expected, desired, success);
  }

  // As std::atomic's. Who waits delays no collection: handshakes reach a thread that sleeps in the kernel.
  void wait(const ptr<T>& old, std::memory_order order = std::memory_order_seq_cst) const noexcept {
    std::atomic_ref<detail::Word>(*this->raw()).wait(detail::to_word(old.get()), order);
  }
  void notify_one() noexcept { std::atomic_ref<detail::Word>(*this->raw()).notify_one(); }
  void notify_all() noexcept { std::atomic_ref<detail::Word>(*this->raw()).notify_all(); }
};

}  // namespace lull

template <class T>
struct std::atomic<lull::ptr<T>> : lull::atomic<lull::ptr<T>> {
  using lull::atomic<lull::ptr<T>>::atomic;
  using lull::atomic<lull::ptr<T>>::operator=;
  atomic() noexcept = default;
  atomic(const atomic&) = delete;
  atomic& operator=(const atomic&) = delete;
};

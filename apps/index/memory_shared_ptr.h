// The memory policy "shared_ptr": what a careful program does today. Reference counts, objects and counts in
// one allocation, std::atomic<std::shared_ptr> where a reader meets the writer, whatever malloc the process
// has.
//
// A memory policy M gives the index: M::ptr<T>, M::atomic_ptr<T>, M::array<T>, M::root<T>, M::make<T>(...),
// M::make_array<T>(n), M::BlockingRegion, M::attach_thread(), M::safepoint(), M::read_figures(). See
// memory_lull.h for the other one.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "apps/index/run_result.h"

namespace index_service {

/// A shared array that knows its size.
template <class T>
class SharedArray {
 public:
  SharedArray() = default;
  explicit SharedArray(std::size_t n)
      : data_(std::make_shared<T[]>(n)), size_(static_cast<std::uint32_t>(n)) {}
  T& operator[](std::size_t i) const { return data_.get()[i]; }
  std::size_t size() const { return size_; }

 private:
  std::shared_ptr<T[]> data_;
  std::uint32_t size_ = 0;
};

struct SharedPtrMemory {
  static constexpr const char* kName = "shared_ptr";

  template <class T>
  using ptr = std::shared_ptr<T>;
  template <class T>
  using atomic_ptr = std::atomic<std::shared_ptr<T>>;
  template <class T>
  using array = SharedArray<T>;
  template <class T>
  using root = std::shared_ptr<T>;

  template <class T, class... Args>
  static ptr<T> make(Args&&... args) {
    return std::make_shared<T>(std::forward<Args>(args)...);
  }
  template <class T>
  static array<T> make_array(std::size_t n) {
    return SharedArray<T>(n);
  }

  struct BlockingRegion {
    BlockingRegion() {}
    ~BlockingRegion() {}
  };
  static void attach_thread() {}
  static void safepoint() {}
  static CollectorFigures read_figures() { return {}; }
  static void begin_recording() {}
  static void sample_types(RunResult&) {}
  static void finish_recording(RunResult&) {}
};

}  // namespace index_service

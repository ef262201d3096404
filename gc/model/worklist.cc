#include "gc/model/worklist.h"

#include <new>

#include "alloc/os/vm.h"
#include "gc/model/delay.h"
#include "gc/model/phase.h"

namespace lull::gc {

constinit GreyPool grey_pool;

namespace {
constexpr std::size_t kChunkSegments = 16;
}  // namespace

Segment* GreyPool::fresh() {
  os::Locked locked(lock_);
  return fresh_locked();
}

Segment* GreyPool::fresh_locked() {
  if (free_ == nullptr) {
    auto* chunk = static_cast<std::byte*>(os::map(kChunkSegments * sizeof(Segment)));
    if (chunk == nullptr) return nullptr;
    for (std::size_t i = 0; i < kChunkSegments; ++i) {
      auto* segment = new (chunk + i * sizeof(Segment)) Segment;
      segment->next = free_;
      free_ = segment;
    }
  }
  Segment* segment = free_;
  free_ = segment->next;
  segment->next = nullptr;
  segment->count = 0;
  return segment;
}

void GreyPool::recycle(Segment* segment) {
  os::Locked locked(lock_);
  segment->next = free_;
  free_ = segment;
}

Segment* GreyPool::take() {
  if (empty()) return nullptr;
  os::Locked locked(lock_);
  Segment* segment = work_;
  if (segment == nullptr) return nullptr;
  work_ = segment->next;
  segment->next = nullptr;
  count_.fetch_sub(1, std::memory_order_seq_cst);
  return segment;
}

void GreyPool::put(Segment* segment) {
  if (segment->count == 0) return recycle(segment);
  os::Locked locked(lock_);
  segment->next = work_;
  work_ = segment;
  count_.fetch_add(1, std::memory_order_seq_cst);
}

void GreyPool::hand_over(Segment* segment) {
  if (segment->count != 0) cancel_termination();
  delay_point("about to hand over");
  put(segment);
  delay_point("handed over");
}

void GreyPool::drop_all() {
  while (Segment* segment = take()) {
    segment->count = 0;
    recycle(segment);
  }
}

bool GreyBuffer::make_room() {
  if (segment_ != nullptr) grey_pool.hand_over(detach());
  segment_ = grey_pool.fresh();
  if (segment_ == nullptr) cycle_must_abort.store(true, std::memory_order_relaxed);
  return segment_ != nullptr;
}

}  // namespace lull::gc

// What a kind says about array objects, part by part.
#include "lull/detail/kind.h"

#include <gtest/gtest.h>

#include "gc/mark/trace_check.h"
#include "lull/make.h"

namespace {

// Records the slots that a kind's functions visit.
class Recorder : public lull::tracer {
 public:
  Recorder() {
    next_ = words_;
    end_ = words_ + 64;
    flush_ = [](lull::tracer& t) { static_cast<Recorder&>(t).next_ = static_cast<Recorder&>(t).words_; };
    slots_seen_ = &log_;
  }
  const lull::SlotLog& log() const { return log_; }

 private:
  lull::SlotLog log_;
  std::uintptr_t words_[64];
};

struct Two {
  lull::ptr<int> first;
  int between = 0;
  lull::ptr<int> second;
  void trace(lull::tracer& t) const { t(first, second); }
};

template <class T>
class KindParts : public testing::Test {};
using Elements = testing::Types<lull::ptr<int>, Two>;
TYPED_TEST_SUITE(KindParts, Elements);

// Every slot that lies in the range is visited, none of an element outside of it is, for every range.
TYPED_TEST(KindParts, AreTheElementsThatOverlapTheRange) {
  constexpr std::size_t kLength = 9;
  const auto array = lull::make_array<TypeParam>(kLength);
  constexpr std::size_t begin = lull::detail::array_offset<TypeParam>, bytes = begin + kLength * sizeof(TypeParam) + 1;
  const char* object = reinterpret_cast<const char*>(array.get()) - begin;
  const lull::detail::Kind& kind = lull::detail::KindOf<TypeParam>::array;
  Recorder whole;
  kind.trace(object, whole);
  ASSERT_EQ(whole.log().count, kLength * sizeof(TypeParam) / (sizeof(TypeParam) == 8 ? 8 : 12));
  for (std::size_t from = 0; from < bytes; ++from)
    for (std::size_t to = from + 1; to <= bytes + 64; ++to) {
      Recorder part;
      kind.trace_part(object, from, to, part);
      for (std::size_t i = 0; i < whole.log().count; ++i) {
        const std::uintptr_t slot = whole.log().slots[i], at = slot - reinterpret_cast<std::uintptr_t>(object);
        const std::size_t element = begin + (at - begin) / sizeof(TypeParam) * sizeof(TypeParam);
        const bool overlaps = element < to && element + sizeof(TypeParam) > from;
        ASSERT_EQ(part.log().contains(slot), overlaps) << from << " " << to << " " << at;
      }
    }
}

}  // namespace

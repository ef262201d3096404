// make and make_array: construction, alignment, sizes, zeroing, exceptions, and running out of memory.
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <string>

#include "alloc/os/vm.h"
#include "gc/model/options.h"
#include "lull/malloc.h"
#include "tests/support/hidden.h"
#include "tests/support/scale.h"

namespace {

using lull::make;
using lull::make_array;
using lull::ptr;
using lull::root;
using lull::testing::elsewhere;
using lull::testing::Hidden;
using lull::testing::is_allocated;
using lull::testing::kSlowdown;
using lull::testing::scaled;

class Make : public testing::Test {
 protected:
  void SetUp() override {
    lull::gc::read_options();
    lull::gc::options.scribble = 1;
  }
};

std::uint64_t objects() { return lull::read_mem_stats().heap_objects; }

// What is left after everything unreachable is gone, destructors included.
std::uint64_t surviving_objects() {
  for (int i = 0; i < 2; ++i) {
    lull::collect();
    lull::wait_for_finalizers();
  }
  lull::collect();
  return objects();
}

// Arguments.

struct Arguments {
  Arguments(std::unique_ptr<int> moved, int& by_reference, std::string text)
      : moved_to(std::move(moved)), referred(by_reference), name(std::move(text)) {}
  std::unique_ptr<int> moved_to;
  int& referred;
  std::string name;
};
struct Aggregate {
  int a;
  double b = 2.5;
};

TEST_F(Make, ForwardsItsArguments) {
  int target = 1;
  ptr<Arguments> p = make<Arguments>(std::make_unique<int>(7), target, "a string long enough for malloc, please");
  EXPECT_EQ(*p->moved_to, 7);
  EXPECT_EQ(&p->referred, &target);
  EXPECT_EQ(p->name, "a string long enough for malloc, please");
}

TEST_F(Make, InitialisesLikeParentheses) {
  EXPECT_EQ(*make<int>(), 0);
  EXPECT_EQ(*make<int>(5), 5);
  EXPECT_EQ(make<Aggregate>(3)->a, 3);
  EXPECT_EQ(make<Aggregate>(3)->b, 2.5);
  EXPECT_EQ(make<Aggregate>()->a, 0);
  ptr<std::array<int, 100>> a = make<std::array<int, 100>>();
  for (int x : *a) ASSERT_EQ(x, 0);
}

struct Empty {};

TEST_F(Make, EmptyObjectsHaveAddressesOfTheirOwn) {
  ptr<Empty> a = make<Empty>(), b = make<Empty>();
  EXPECT_NE(a, b);
  ptr<Empty[]> many = make_array<Empty>(10);
  EXPECT_EQ(many.size(), 10u);
}

// A constructor that builds more of the same, and collects meanwhile.
struct Tree {
  explicit Tree(int depth) {
    if (depth == 0) return;
    left = make<Tree>(depth - 1);
    if (depth == 3) lull::collect();
    right = make<Tree>(depth - 1);
  }
  ptr<Tree> left, right;
  int count() const { return 1 + (left ? left->count() : 0) + (right ? right->count() : 0); }
  void trace(lull::tracer& t) const { t(left, right); }
};

TEST_F(Make, ConstructorsMayAllocateAndCollect) {
  ptr<Tree> tree = make<Tree>(6);
  lull::collect();
  EXPECT_EQ(tree->count(), 127);
}

}  // namespace

// The marker met an object whose constructor had not set its vptr yet, and called the virtual trace() through it. With
// external linkage, or the compiler knows that nothing derives from it and calls trace() directly anyway.
namespace external {

using lull::make;
using lull::ptr;

struct CollectsFirst {
  CollectsFirst() { lull::collect(); }
};
struct VirtualTrace {
  virtual ~VirtualTrace() = default;
  virtual void trace(lull::tracer& t) const { t(base_part); }
  ptr<int> base_part = make<int>(1);
};
struct CollectsBeforeItsVptrIsSet : CollectsFirst, VirtualTrace {
  ptr<int> part = make<int>(2);
  CollectsFirst again;
  void trace(lull::tracer& t) const override {
    VirtualTrace::trace(t);
    t(part);
  }
};

}  // namespace external

namespace {

TEST_F(Make, ConstructorsMayCollectBeforeAVptrIsSet) {
  ptr<external::CollectsBeforeItsVptrIsSet> p = make<external::CollectsBeforeItsVptrIsSet>();
  ptr<external::VirtualTrace> base = p;
  lull::collect();
  EXPECT_EQ(*base->base_part, 1);
  EXPECT_EQ(*p->part, 2);
}

// Exceptions.

struct Lives {
  static inline std::atomic<int> begun{0}, ended{0};
  Lives() { ++begun; }
  ~Lives() { ++ended; }
};

struct ThrowsLate {
  Lives member;
  ThrowsLate() { throw std::runtime_error("on purpose"); }
  ~ThrowsLate() { ADD_FAILURE() << "destructor of an object that was never constructed"; }
};

TEST_F(Make, AThrowingConstructorLeaksNothingAndRunsNoDestructor) {
  lull::attach_thread();
  const std::uint64_t before = surviving_objects(), run = lull::read_mem_stats().destructors_run;
  elsewhere([] {
    for (int i = 0; i < 1000; ++i) EXPECT_THROW(make<ThrowsLate>(), std::runtime_error);
  });
  EXPECT_EQ(Lives::begun, 1000);
  EXPECT_EQ(Lives::ended, 1000);
  EXPECT_EQ(surviving_objects(), before);
  EXPECT_EQ(lull::read_mem_stats().destructors_run, run);
}

struct ThrowsAtSeven : Lives {
  static inline std::atomic<int> next{0};
  ThrowsAtSeven() {
    if (next++ == 7) throw std::runtime_error("on purpose");
  }
  ~ThrowsAtSeven() { last_destroyed = this; }
  static inline const ThrowsAtSeven* last_destroyed = nullptr;
};

TEST_F(Make, AThrowingElementUndoesTheElementsBeforeIt) {
  lull::attach_thread();
  const std::uint64_t before = surviving_objects(), run = lull::read_mem_stats().destructors_run;
  elsewhere([] { EXPECT_THROW(make_array<ThrowsAtSeven>(100), std::runtime_error); });
  EXPECT_EQ(Lives::begun, 8);
  EXPECT_EQ(Lives::ended, 8);  // the eighth's base part was complete
  EXPECT_EQ(surviving_objects(), before);
  EXPECT_EQ(lull::read_mem_stats().destructors_run, run);
  EXPECT_EQ(Lives::ended, 8);
}

// Alignment.

template <std::size_t kAlignment, std::size_t kBytes>
struct alignas(kAlignment) Aligned {
  unsigned char bytes[kBytes];
  explicit Aligned(unsigned char value = 0x5a) {
    for (auto& b : bytes) b = value;
  }
  bool intact(unsigned char value = 0x5a) const {
    for (auto b : bytes)
      if (b != value) return false;
    return true;
  }
};

template <class T>
bool is_aligned(const T* p) { return reinterpret_cast<std::uintptr_t>(p) % alignof(T) == 0; }

template <class T>
void check_alignment() {
  SCOPED_TRACE(sizeof(T));
  std::vector<root<T>> objects;
  std::vector<root<T[]>> arrays;
  for (unsigned char i = 0; i < 20; ++i) objects.push_back(make<T>(i));
  for (std::size_t n : {0u, 1u, 3u, 10u}) arrays.push_back(make_array<T>(n));
  lull::collect();
  for (unsigned char i = 0; i < 20; ++i) {
    ASSERT_TRUE(is_aligned(objects[i].get()));
    ASSERT_TRUE(objects[i]->intact(i));
  }
  for (const root<T[]>& a : arrays) {
    ASSERT_TRUE(is_aligned(a.get()));
    for (const T& element : a) ASSERT_TRUE(element.intact());
  }
}

TEST_F(Make, KeepsEveryAlignmentUpToAPage) {
  check_alignment<Aligned<8, 8>>();
  check_alignment<Aligned<16, 16>>();
  check_alignment<Aligned<16, 17>>();
  check_alignment<Aligned<32, 32>>();
  check_alignment<Aligned<64, 100>>();
  check_alignment<Aligned<128, 1>>();
  check_alignment<Aligned<256, 3000>>();
  check_alignment<Aligned<512, 512>>();
  check_alignment<Aligned<1024, 5000>>();
  check_alignment<Aligned<2048, 2048>>();
  check_alignment<Aligned<4096, 1>>();
  check_alignment<Aligned<4096, 20000>>();
  check_alignment<Aligned<4096, 40000>>();
}

// Sizes. Every object is filled to its last byte, so that two that overlap destroy each other.

std::uint64_t pattern(std::uint64_t id) { return id * 0x9e3779b97f4a7c15; }

void fill(ptr<std::uint8_t[]> a, std::uint64_t id) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = static_cast<std::uint8_t>(pattern(id + i) >> 56);
}
bool is_filled(const root<std::uint8_t[]>& a, std::uint64_t id) {
  for (std::size_t i = 0; i < a.size(); ++i)
    if (a[i] != static_cast<std::uint8_t>(pattern(id + i) >> 56)) return false;
  return true;
}

TEST_F(Make, ArraysOfAllLengthsKeepToThemselves) {
  std::vector<std::size_t> lengths;
  for (std::size_t n = 0; n < 600; ++n) lengths.push_back(n);
  for (std::size_t n = 1024; n <= 512 * 1024; n *= 2)
    for (int d : {-17, -16, -15, -9, -8, -7, -1, 0, 1}) lengths.push_back(n + static_cast<std::size_t>(d));
  lengths.push_back(32 * 1024 - 9);  // the largest that is not an object with a span of its own
  std::vector<root<std::uint8_t[]>> arrays;
  for (int copies = 0; copies < 3; ++copies)
    for (std::size_t n : lengths) {
      ptr<std::uint8_t[]> a = make_array<std::uint8_t>(n);
      ASSERT_EQ(a.size(), n);
      for (std::uint8_t b : a) ASSERT_EQ(b, 0) << n;
      fill(a, arrays.size());
      arrays.push_back(a);
    }
  lull::collect();
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    ASSERT_EQ(arrays[i].size(), lengths[i % lengths.size()]);
    ASSERT_TRUE(is_filled(arrays[i], i)) << arrays[i].size();
  }
}

template <std::size_t kBytes>
struct Block {
  std::uint64_t words[kBytes / 8];
  explicit Block(std::uint64_t id) {
    for (auto& w : words) w = pattern(id++);
  }
  bool intact(std::uint64_t id) const {
    for (auto& w : words)
      if (w != pattern(id++)) return false;
    return true;
  }
};

template <std::size_t kBytes>
void check_blocks() {
  SCOPED_TRACE(kBytes);
  std::vector<root<Block<kBytes>>> blocks;
  for (std::uint64_t i = 0; i < 10; ++i) blocks.push_back(make<Block<kBytes>>(i));
  lull::collect();
  for (std::uint64_t i = 0; i < 10; ++i) ASSERT_TRUE(blocks[i]->intact(i));
}

TEST_F(Make, ObjectsAroundTheSizesWhereSpansChangeKeepToThemselves) {
  check_blocks<8>();
  check_blocks<24>();
  check_blocks<4080>();
  check_blocks<8184>();
  check_blocks<8192>();
  check_blocks<12328>();
  check_blocks<32 * 1024 - 8>();
  check_blocks<32 * 1024>();
  check_blocks<32 * 1024 + 8>();
  check_blocks<33 * 1024>();
  check_blocks<64 * 1024 - 8>();
  check_blocks<64 * 1024>();
  check_blocks<1024 * 1024 + 8>();
}

TEST_F(Make, LargeObjectsLiveAndTheirMemoryComesBack) {
  lull::attach_thread();
  lull::set_gc_percent(-1);
  const std::uint64_t before = (surviving_objects(), lull::read_mem_stats().heap_inuse);
  elsewhere([] {
    for (std::size_t mib : {1u, 3u, 20u, 200u}) {
      const std::size_t n = (mib << 20) / sizeof(std::uint64_t) / kSlowdown;
      ptr<std::uint64_t[]> a = make_array<std::uint64_t>(n);
      a[0] = 1;
      a[n / 2] = 2;
      a[n - 1] = 3;
      lull::collect();
      ASSERT_TRUE(a[0] == 1 && a[n / 2] == 2 && a[n - 1] == 3);
      ASSERT_GE(lull::read_mem_stats().heap_inuse, n * sizeof(std::uint64_t));
    }
  });
  surviving_objects();
  EXPECT_EQ(lull::read_mem_stats().heap_inuse, before);
}

struct Large {  // no trace(): 400 KB scanned conservatively
  ptr<int> first;
  char between[400'000] = {};
  ptr<int> last;
};

TEST_F(Make, LargeObjectsAreScannedToTheirEnd) {
  static root<Large> large;
  elsewhere([] {
    large = make<Large>();
    large->first = make<int>(1);
    large->last = make<int>(2);
  });
  lull::collect();
  lull::collect();
  EXPECT_EQ(*large->first, 1);
  EXPECT_EQ(*large->last, 2);
}

// Zero before the constructor runs: a ptr constructed there finds no word that looks like an old pointer.

struct ExpectsZero {
  ExpectsZero() {
    auto* bytes = reinterpret_cast<volatile const unsigned char*>(this);
    for (std::size_t i = 0; i < sizeof(*this); ++i)
      if (bytes[i] != 0) ++not_zero;
    for (auto& w : words) w = ~std::uint64_t{0};
  }
  static inline std::atomic<int> not_zero{0};
  std::uint64_t words[12];
  void trace(lull::tracer&) const {}
};
struct ExpectsZeroToo : ExpectsZero {  // of another size, with a span of its own
  ExpectsZeroToo() { more[9'999] = 1; }  // written here: make<T>() would zero a T without a constructor of its own
  std::uint64_t more[10'000];
};

TEST_F(Make, MemoryOfTypesWithPointersIsZeroBeforeTheConstructor) {
  for (int round = 0; round < 5; ++round) {
    elsewhere([] {
      for (int i = 0; i < 5'000; ++i) make<ExpectsZero>();
      for (int i = 0; i < 20; ++i) make<ExpectsZeroToo>();
      for (std::size_t n = 1; n < 400; n += 13) {
        for (ptr<int>& p : make_array<ptr<int>>(n)) {
          if (p) ++ExpectsZero::not_zero;
          p = make<int>(1);
        }
      }
    });
    lull::collect();
  }
  EXPECT_EQ(ExpectsZero::not_zero, 0);
}

// Arrays of what.

TEST_F(Make, ArraysOfLengthZeroAreObjects) {
  ptr<int[]> a = make_array<int>(0), b = make_array<int>(0);
  ptr<ptr<int>[]> c = make_array<ptr<int>>(0);
  EXPECT_TRUE(a && c);
  EXPECT_NE(a, b);
  EXPECT_EQ(a.size(), 0u);
  EXPECT_EQ(c.begin(), c.end());
  lull::collect();
  EXPECT_EQ(a.size(), 0u);
}

struct Named {
  std::uint64_t number = 11;
  ptr<int> target;
  void trace(lull::tracer& t) const { t(target); }
};
struct Untraced {
  std::uint64_t number = 12;
  ptr<int> target;
};
root<Named[]> traced_array;
root<Untraced[]> untraced_array;
root<ptr<int>[]> pointer_array;
root<int*[]> raw_array;

TEST_F(Make, ElementsWithPointersAreTraced) {
  for (std::size_t n : {1u, 7u, 1000u, 20'000u}) {
    elsewhere([&] {
      traced_array = make_array<Named>(n);
      untraced_array = make_array<Untraced>(n);
      pointer_array = make_array<ptr<int>>(n);
      raw_array = make_array<int*>(n);
      for (std::size_t i = 0; i < n; ++i) {
        const int value = static_cast<int>(i);
        traced_array[i].target = make<int>(value);
        untraced_array[i].target = make<int>(value);
        pointer_array[i] = make<int>(value);
        raw_array[i] = pointer_array[n - 1 - i] ? pointer_array[n - 1 - i].get() : nullptr;
      }
    });
    lull::collect();
    lull::collect();
    for (std::size_t i = 0; i < n; ++i) {
      ASSERT_EQ(traced_array[i].number, 11u);
      ASSERT_EQ(untraced_array[i].number, 12u);
      ASSERT_EQ(*traced_array[i].target, static_cast<int>(i));
      ASSERT_EQ(*untraced_array[i].target, static_cast<int>(i));
      ASSERT_EQ(*pointer_array[i], static_cast<int>(i));
    }
  }
}

// The byte behind the last element belongs to the array, for every length.
TEST_F(Make, APointerBehindTheLastElementKeepsTheArray) {
  std::vector<root<std::uint64_t>> ends;
  std::vector<std::size_t> lengths;
  for (std::size_t n = 0; n < 70; ++n) lengths.push_back(n);
  for (std::size_t bytes : {256u, 512u, 1024u, 4096u, 8192u, 16384u, 32768u, 65536u, 1u << 20})
    for (std::size_t less = 0; less < 4; ++less) lengths.push_back(bytes / 8 - less);
  elsewhere([&] {
    for (std::size_t n : lengths) {
      ptr<std::uint64_t[]> a = make_array<std::uint64_t>(n);
      for (std::size_t i = 0; i < n; ++i) a[i] = pattern(n + i);
      ends.push_back(ptr<std::uint64_t>(a.end()));
    }
  });
  lull::collect();
  lull::collect();
  for (std::size_t k = 0; k < lengths.size(); ++k) {
    const std::uint64_t* first = ends[k].get() - lengths[k];
    ASSERT_EQ(ptr<std::uint64_t[]>(const_cast<std::uint64_t*>(first)).size(), lengths[k]);
    for (std::size_t i = 0; i < lengths[k]; ++i) ASSERT_EQ(first[i], pattern(lengths[k] + i)) << lengths[k];
  }
}

// Too large.

TEST_F(Make, LengthsThatNoObjectCanHaveAreRefusedAtOnce) {
  EXPECT_THROW(make_array<int>(~std::size_t{0}), std::bad_array_new_length);
  EXPECT_THROW(make_array<int>(~std::size_t{0} / sizeof(int)), std::bad_array_new_length);
  EXPECT_THROW(make_array<Named>(std::size_t{1} << 60), std::bad_array_new_length);
  EXPECT_THROW(make_array<char>((std::size_t{1} << 46) + 1), std::bad_array_new_length);
}

// Page counts have 32 bits: an array of 2^32 pages and one byte was an array of one page once.
TEST_F(Make, ArraysThatAreLargerThanTheHeapAreOutOfMemory) {
  for (int shift = 43; shift <= 46; ++shift)
    for (std::size_t less : {0u, 1u, 8u, 100u}) {
      if (kSlowdown > 1 && less > 1) continue;
      EXPECT_THROW(make_array<char>((std::size_t{1} << shift) - less), std::bad_alloc) << shift << " " << less;
    }
  EXPECT_EQ(*make<int>(3), 3);
}

// Out of memory. Mappings of the library fail from some moment on; what it has mapped must do.

struct Chain {
  ptr<Chain> next;
  char bytes[2000] = {};
  void trace(lull::tracer& t) const { t(next); }
};
root<Chain> chain;

// Prepends until memory is out; how many fitted.
int fill_memory() {
  int n = 0;
  elsewhere([&] {
    try {
      for (;; ++n) {
        ptr<Chain> link = make<Chain>();
        link->next = chain;
        chain = link;
      }
    } catch (const std::bad_alloc&) {
    }
  });
  return n;
}

// Elsewhere, because a barrier keeps the old value in a register for a while.
void drop_chain() {
  elsewhere([] { chain = nullptr; });
}

class OutOfMemory : public Make {
 protected:
  void SetUp() override {
    Make::SetUp();
    lull::attach_thread();
    chain = make<Chain>();
    elsewhere([] { make<Chain>(); });  // a second thread's record is there to be used again
    lull::collect();
  }
  void TearDown() override {
    lull::os::fail_mapping_for_testing(-1);
    chain = nullptr;
  }
};

TEST_F(OutOfMemory, IsBadAllocAfterACollectionWasTried) {
  lull::set_gc_percent(-1);
  lull::os::fail_mapping_for_testing(0, true);
  const std::uint32_t cycles = lull::read_mem_stats().num_gc;
  EXPECT_GT(fill_memory(), 1000);  // the heap grows by 16 MiB a time
  EXPECT_GE(lull::read_mem_stats().num_gc, cycles + 1);
}

TEST_F(OutOfMemory, IsNoneWhileACollectionFindsGarbage) {
  lull::set_gc_percent(-1);
  lull::os::fail_mapping_for_testing(0, true);
  elsewhere([] {
    for (int i = 0; i < scaled(100'000); ++i) {  // 200 MB through what has been mapped
      chain = make<Chain>();
      chain->bytes[1999] = 1;
    }
  });
  EXPECT_GT(lull::read_mem_stats().num_gc, 1u);
}

TEST_F(OutOfMemory, EndsWhenObjectsDie) {
  lull::os::fail_mapping_for_testing(0, true);
  const int first = fill_memory();
  EXPECT_EQ(fill_memory(), 0);
  drop_chain();
  const int second = fill_memory();
  EXPECT_GT(second, first * 9 / 10);
  for (ptr<Chain> link = chain; link; link = link->next)
    for (char b : link->bytes) ASSERT_EQ(b, 0);
}

TEST_F(OutOfMemory, OfOneSizeLeavesTheOthersWorking) {
  lull::os::fail_mapping_for_testing(0, true);
  EXPECT_THROW(make_array<char>(100 << 20), std::bad_alloc);
  EXPECT_THROW(make_array<ptr<int>>(100 << 20), std::bad_alloc);
  EXPECT_EQ(*make<int>(1), 1);
  lull::os::fail_mapping_for_testing(-1);
  EXPECT_EQ(make_array<char>(100 << 20).size(), std::size_t{100} << 20);
}

TEST_F(OutOfMemory, InARootTableIsBadAlloc) {
  std::vector<root<int>> roots(200'000);
  ptr<int> object = make<int>(1);
  lull::os::fail_mapping_for_testing(0, true);
  fill_memory();  // pages that are there would do for cells, too
  std::size_t n = 0;
  EXPECT_THROW(for (; n < roots.size(); ++n) roots[n] = object, std::bad_alloc);
  EXPECT_LT(n, roots.size());
  EXPECT_FALSE(roots[n]);
  lull::os::fail_mapping_for_testing(-1);
  for (; n < roots.size(); ++n) roots[n] = object;
  EXPECT_EQ(*roots.back(), 1);
}

// Marking needs memory too. A cycle that gets none is given up: nothing is freed, nothing lost, the next one is whole.
root<ptr<Named>[]> wide;

TEST_F(OutOfMemory, WhileMarkingGivesTheCycleUp) {
  constexpr std::size_t kWidth = 30'000;  // grey at once: more than the segments there are can hold
  lull::set_gc_percent(-1);
  Hidden garbage;
  elsewhere([&] {
    wide = make_array<ptr<Named>>(kWidth);
    for (ptr<Named>& p : wide) p = make<Named>();
    for (ptr<Named>& p : wide) p->target = make<int>(1);
    garbage = Hidden(make<Named>().get());
  });
  const lull::mem_stats before = lull::read_mem_stats();
  lull::os::fail_mapping_for_testing(0, true);
  lull::collect();
  const lull::mem_stats failed = lull::read_mem_stats();
  EXPECT_GE(failed.aborted_cycles, before.aborted_cycles + 1);
  EXPECT_EQ(failed.frees, before.frees);
  lull::os::fail_mapping_for_testing(-1);
  lull::collect();
  EXPECT_EQ(lull::read_mem_stats().aborted_cycles, failed.aborted_cycles);
  EXPECT_FALSE(is_allocated(garbage));
  for (const ptr<Named>& p : wide) ASSERT_EQ(*p->target, 1);
}

TEST(MisuseDeathTest, FreeOfAManagedObject) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH({ ptr<Chain> object = make<Chain>(); lull_free(object.get()); }, "lull: free of 0x.*, which is a garbage-collected object");
}

// Limits that the system sets, each in a process of its own.

[[maybe_unused]] void limit(decltype(RLIMIT_AS) what, std::size_t bytes) {
  const rlimit both{bytes, bytes};
  if (setrlimit(what, &both) != 0) _exit(9);
}

// What a program does that stays below its limit.
[[maybe_unused]] void live_modestly() {
  for (int i = 0; i < 50'000; ++i) {
    ptr<Chain> link = make<Chain>();
    link->next = i % 100 == 0 ? ptr<Chain>() : chain.load();
    chain = link;
  }
  elsewhere([] { make<Chain>(); });
  lull::collect();
}

#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)  // their shadow memory needs address space
// The range was halved until it fitted; limits at which it just did left no room for the collector's own thread.
TEST(Limits, OfAddressSpaceMakeTheHeapSmaller) {
  std::vector<std::size_t> limits{400, 600, 1000, 1300, 3000, 5000};
  for (std::size_t mib = 256; mib < 310; mib += 3) limits.push_back(mib);
  for (std::size_t mib : limits)
    EXPECT_EXIT((limit(RLIMIT_AS, mib << 20), live_modestly(), _exit(0)), testing::ExitedWithCode(0), "") << mib << " MiB";
}

TEST(Limits, OfDataMakeAllocationFailWithBadAlloc) {
  EXPECT_EXIT((limit(RLIMIT_DATA, 500 << 20), live_modestly(), fill_memory(), drop_chain(), live_modestly(), _exit(0)),
              testing::ExitedWithCode(0), "");
}
#endif

}  // namespace

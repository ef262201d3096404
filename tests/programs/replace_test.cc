// malloc's family and operator new under their usual names: every one is lull's, with the rules of glibc and C++. Built
// three ways: linked with lull::malloc, linked with lull::malloc_static into a static program, and plain, for LD_PRELOAD.
#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <malloc.h>
#include <netdb.h>
#include <pthread.h>
#include <sys/resource.h>
#include <wchar.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <new>
#include <thread>
#include <vector>

#include "tests/alloc/support.h"
#include "tests/programs/heap_extent.h"

extern "C" {
std::size_t nallocx(std::size_t, int) __attribute__((weak));
void sdallocx(void*, std::size_t, int) __attribute__((weak));
void free_sized(void*, std::size_t) __attribute__((weak));
void free_aligned_sized(void*, std::size_t, std::size_t) __attribute__((weak));
#if !LULL_STATIC_PROGRAM
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
void* __libc_valloc(std::size_t);
void* __libc_pvalloc(std::size_t);
void __libc_free(void*);
#endif
}

namespace {

using lull::testing::heap_extent;

// What the compiler knows of malloc must not remove the calls.
template <class T>
T hide(T value) {
  asm volatile("" : "+r"(value)::"memory");
  return value;
}
bool is_ours(const void* block) { return heap_extent().contains(block); }
bool is_aligned(const void* block, std::size_t alignment) { return reinterpret_cast<std::uintptr_t>(block) % alignment == 0; }
constexpr std::size_t kTooMuch = std::size_t{PTRDIFF_MAX} - 4096;

#define EXPECT_OURS(call) \
  do { \
    void* made = hide<void*>(call); \
    EXPECT_TRUE(made != nullptr && is_ours(made)) << #call << " is at " << made; \
    std::free(made); \
  } while (false)

TEST(Replaced, EveryFunctionOfMallocsFamily) {
  for (const std::size_t size : {1u, 100u, 5000u, 40'000u, 3'000'000u}) {
    EXPECT_OURS(malloc(size));
    EXPECT_OURS(calloc(3, size));
    EXPECT_OURS(realloc(nullptr, size));
    EXPECT_OURS(realloc(malloc(16), size));
    EXPECT_OURS(reallocarray(nullptr, 3, size));
    EXPECT_OURS(aligned_alloc(64, size));
    EXPECT_OURS(memalign(256, size));
    EXPECT_OURS(valloc(size));
    EXPECT_OURS(pvalloc(size));
    void* block = nullptr;
    EXPECT_EQ(0, posix_memalign(&block, 128, size));
    EXPECT_OURS(block);
  }
}

#if !LULL_STATIC_PROGRAM
// By these some programs reach past what replaces malloc.
TEST(Replaced, TheSecondNamesOfTheCLibrary) {
  EXPECT_OURS(__libc_malloc(100));
  EXPECT_OURS(__libc_calloc(10, 10));
  EXPECT_OURS(__libc_realloc(malloc(10), 1000));
  EXPECT_OURS(__libc_memalign(64, 100));
  EXPECT_OURS(__libc_valloc(100));
  EXPECT_OURS(__libc_pvalloc(100));
  __libc_free(malloc(100));
}
#endif

TEST(Replaced, EveryOperatorNewAndDelete) {
  using std::align_val_t, std::nothrow;
  for (const std::size_t size : {0u, 1u, 100u, 5000u, 40'000u, 3'000'000u}) {
    const std::function<void*()> makers[] = {
        [=] { return operator new(size); },
        [=] { return operator new[](size); },
        [=] { return operator new(size, nothrow); },
        [=] { return operator new[](size, nothrow); },
    };
    const std::function<void(void*)> enders[] = {
        [](void* p) { operator delete(p); },
        [](void* p) { operator delete[](p); },
        [](void* p) { operator delete(p, nothrow); },
        [](void* p) { operator delete[](p, nothrow); },
        [=](void* p) { operator delete(p, size); },
        [=](void* p) { operator delete[](p, size); },
        [](void* p) { std::free(p); },
    };
    for (const auto& make : makers)
      for (const auto& end : enders) {
        void* block = hide(make());
        ASSERT_TRUE(is_ours(block));
        end(block);
      }
  }
}

TEST(Replaced, EveryAlignedOperatorNewAndDelete) {
  using std::align_val_t, std::nothrow;
  for (const std::size_t size : {0u, 1u, 100u, 5000u, 40'000u, 3'000'000u})
    for (std::size_t a = 1; a <= 65536; a *= 4) {
      const align_val_t alignment{a};
      const std::function<void*()> makers[] = {
          [=] { return operator new(size, alignment); },
          [=] { return operator new[](size, alignment); },
          [=] { return operator new(size, alignment, nothrow); },
          [=] { return operator new[](size, alignment, nothrow); },
      };
      const std::function<void(void*)> enders[] = {
          [=](void* p) { operator delete(p, alignment); },
          [=](void* p) { operator delete[](p, alignment); },
          [=](void* p) { operator delete(p, alignment, nothrow); },
          [=](void* p) { operator delete[](p, alignment, nothrow); },
          [=](void* p) { operator delete(p, size, alignment); },
          [=](void* p) { operator delete[](p, size, alignment); },
      };
      for (const auto& make : makers)
        for (const auto& end : enders) {
          void* block = hide(make());
          ASSERT_TRUE(is_ours(block) && is_aligned(block, a)) << size << " at " << a;
          end(block);
        }
    }
}

TEST(Replaced, WhatTheCLibraryAllocatesCanBeFreed) {
  EXPECT_OURS(strdup("text"));
  EXPECT_OURS(strndup("text", 2));
  EXPECT_OURS(wcsdup(L"text"));
  EXPECT_OURS(realpath("/proc/self", nullptr));
  EXPECT_OURS(getcwd(nullptr, 0));
  char* text = nullptr;
  ASSERT_EQ(6, asprintf(&text, "%06d", 42));
  EXPECT_OURS(text);
  std::size_t length = 0;
  std::FILE* stream = open_memstream(&text, &length);
  fputs("some text", stream);
  fclose(stream);
  EXPECT_EQ(9u, length);
  EXPECT_OURS(text);
  text = nullptr;
  length = 0;
  std::FILE* file = fopen("/proc/self/status", "r");
  ASSERT_GT(getline(&text, &length, file), 0);
  ASSERT_GT(getdelim(&text, &length, '\0', file), 100);
  fclose(file);
  EXPECT_OURS(text);
  dirent** names = nullptr;
  const int count = scandir("/proc/self", &names, nullptr, alphasort);
  ASSERT_GT(count, 2);
  for (int i = 0; i < count; ++i) EXPECT_OURS(names[i]);
  EXPECT_OURS(names);
}

#if !LULL_STATIC_PROGRAM
TEST(Replaced, WhatTheResolverAllocatesCanBeFreed) {
  addrinfo hints{};
  hints.ai_flags = AI_CANONNAME;
  addrinfo* found = nullptr;
  if (getaddrinfo("localhost", "80", &hints, &found) != 0) GTEST_SKIP() << "no localhost";
  EXPECT_TRUE(is_ours(found));
  freeaddrinfo(found);
}
#endif

// The rules.

TEST(Rules, SizeZeroIsABlockOfItsOwn) {
  errno = 4711;
  const std::vector<void*> blocks = {malloc(0), calloc(0, 8), calloc(8, 0), realloc(nullptr, 0), aligned_alloc(64, 0),
                                     memalign(64, 0), valloc(0), pvalloc(0), reallocarray(nullptr, 0, 7)};
  for (std::size_t i = 0; i < blocks.size(); ++i)
    for (std::size_t j = 0; j < i; ++j) EXPECT_NE(blocks[i], blocks[j]);
  for (void* block : blocks) {
    EXPECT_NE(nullptr, block);
    free(block);
  }
  EXPECT_EQ(4711, errno);
}

TEST(Rules, ReallocToZeroFreesAndReturnsNull) {
  errno = 4711;
  EXPECT_EQ(nullptr, realloc(hide(malloc(100)), 0));
  EXPECT_EQ(nullptr, reallocarray(hide(malloc(100)), 0, 8));
  EXPECT_EQ(4711, errno);
}

template <class Call>
void expect_enomem(Call&& call) {
  errno = 0;
  EXPECT_EQ(nullptr, call());
  EXPECT_EQ(ENOMEM, errno);
}

TEST(Rules, TooMuchIsNullAndEnomem) {
  for (const std::size_t size : {kTooMuch, std::size_t{PTRDIFF_MAX} + 1, SIZE_MAX}) {
    expect_enomem([=] { return malloc(hide(size)); });
    expect_enomem([=] { return calloc(1, hide(size)); });
    expect_enomem([=] { return calloc(hide(size), 16); });
    expect_enomem([=] { return realloc(nullptr, hide(size)); });
    expect_enomem([=] { return reallocarray(nullptr, hide(size), 2); });
    expect_enomem([=] { return aligned_alloc(64, hide(size)); });
    expect_enomem([=] { return memalign(64, hide(size)); });
    expect_enomem([=] { return valloc(hide(size)); });
    expect_enomem([=] { return pvalloc(hide(size)); });
  }
}

TEST(Rules, ABlockThatCannotGrowStays) {
  char* block = strdup("still here");
  expect_enomem([=] { return realloc(hide(block), hide(kTooMuch)); });
  expect_enomem([=] { return reallocarray(hide(block), hide(SIZE_MAX), 3); });
  EXPECT_STREQ("still here", block);
  free(block);
}

TEST(Rules, MemalignRoundsOddAlignmentsUp) {
  for (const std::size_t alignment : {0u, 1u, 2u, 3u, 5u, 24u, 48u, 100u, 3000u, 5000u}) {
    void* block = memalign(hide(alignment), 100);
    EXPECT_TRUE(block != nullptr && is_aligned(block, std::bit_ceil(alignment))) << alignment;
    free(block);
  }
  errno = 0;
  EXPECT_EQ(nullptr, memalign(hide(SIZE_MAX), 100));
  EXPECT_EQ(EINVAL, errno);
}

TEST(Rules, PosixMemalignReturnsTheErrorAndTouchesNothing) {
  void* block = &block;
  errno = 4711;
  for (const std::size_t alignment : {0u, 1u, 2u, 3u, 4u, 12u, 24u, 100u}) EXPECT_EQ(EINVAL, posix_memalign(&block, alignment, 8));
  EXPECT_EQ(ENOMEM, posix_memalign(&block, 64, hide(kTooMuch)));
  EXPECT_EQ(ENOMEM, posix_memalign(&block, 64, hide(SIZE_MAX)));
  EXPECT_EQ(&block, block);
  EXPECT_EQ(4711, errno);
}

TEST(Rules, VallocAndPvallocGivePages) {
  void* a = valloc(10);
  void* b = pvalloc(10);
  EXPECT_TRUE(is_aligned(a, 4096) && is_aligned(b, 4096));
  EXPECT_GE(malloc_usable_size(b), 4096u);
  free(a);
  free(b);
}

TEST(Rules, UsableSizesMayBeUsed) {
  EXPECT_EQ(0u, malloc_usable_size(nullptr));
  for (std::size_t size = 0; size < 200'000; size += size / 7 + 1) {
    void* block = hide(malloc(size));
    const std::size_t usable = malloc_usable_size(block);
    ASSERT_GE(usable, size);
    std::memset(block, 0xff, usable);
    if (nallocx != nullptr && size > 0) {
      EXPECT_EQ(usable, nallocx(size, 0));
    }
    free(block);
  }
}

TEST(Rules, SizedFrees) {
  if (free_sized == nullptr || sdallocx == nullptr) GTEST_SKIP() << "no such functions";
  for (const std::size_t size : {1u, 100u, 5000u, 40'000u, 3'000'000u}) {
    free_sized(hide(malloc(size)), size);
    free_aligned_sized(hide(aligned_alloc(256, size)), 256, size);
    sdallocx(hide(malloc(size)), size, 0);
  }
  free_sized(nullptr, 10);
}

TEST(Rules, FreeLeavesErrnoAlone) {
  errno = 4711;
  for (const std::size_t size : {1u, 5000u, 40'000u, 3'000'000u, 300'000'000u}) free(hide(malloc(size)));
  free(nullptr);
  EXPECT_EQ(4711, errno);
}

TEST(Replaced, StatisticsAsTextAreOfThisHeap) {
  constexpr std::size_t kBytes = 10u << 20;
  void* const block = hide(std::malloc(kBytes));
  char* text = nullptr;
  std::size_t length = 0;
  FILE* const to = open_memstream(&text, &length);
  EXPECT_EQ(EINVAL, malloc_info(1, to));
  EXPECT_EQ(0, malloc_info(0, to));
  std::fclose(to);
  std::size_t rest = 0, held = 0;
  EXPECT_EQ(2, std::sscanf(text, "<malloc version=\"1\">\n<total type=\"rest\" count=\"0\" size=\"%zu\"/>\n<system type=\"current\" size=\"%zu\"/>", &rest, &held)) << text;
  EXPECT_GE(held - rest, kBytes);
  std::free(text);
  testing::internal::CaptureStderr();
  malloc_stats();
  const std::string lines = testing::internal::GetCapturedStderr();
  std::size_t used = 0;
  EXPECT_EQ(2, std::sscanf(lines.c_str(), "Arena 0:\nsystem bytes     = %zu\nin use bytes     = %zu", &held, &used)) << lines;
  EXPECT_GE(used, kBytes);
  std::free(block);
}

TEST(Rules, TheFiguresAddUp) {
  void* block = hide(malloc(10'000'000));
  const struct mallinfo2 info = mallinfo2();
  EXPECT_GE(info.uordblks, 10'000'000u);
  EXPECT_EQ(info.arena, info.uordblks + info.fordblks);
  EXPECT_EQ(1, mallopt(M_MMAP_THRESHOLD, 1 << 20));
  free(block);
  malloc_trim(0);
}

struct Blocks {
  std::vector<void*> all;
  std::size_t usable = 0;
  void make(std::size_t count, std::size_t bytes) {
    for (std::size_t i = 0; i < count; ++i) {
      all.push_back(hide(malloc(bytes)));
      usable += malloc_usable_size(all.back());
    }
  }
  void drop() {
    for (void* block : all) free(block);
    all.clear();
  }
};
constexpr std::size_t kCached = 4 << 20;  // a thread's bins, and a quarantine, may hold so much

TEST(Figures, FollowWhatTheProgramHas) {
  const std::size_t before = mallinfo2().uordblks;
  Blocks blocks;
  blocks.make(20'000, 100);
  blocks.make(2000, 5000);
  blocks.make(50, 500'000);
  const std::size_t with = mallinfo2().uordblks;
  EXPECT_GE(with + kCached, before + blocks.usable);
  EXPECT_LE(with, before + blocks.usable / 16 * 17 + kCached) << "spans waste a sixteenth at most";
  blocks.drop();
  EXPECT_LE(mallinfo2().uordblks, before + kCached);
  malloc_trim(0);
  EXPECT_LE(mallinfo2().keepcost, std::size_t{1} << 20) << "idle pages were given back";
  EXPECT_LE(mallinfo2().arena, before + 2 * kCached);
}

void expect_sum(const struct mallinfo2& info) {
  EXPECT_EQ(info.arena, info.uordblks + info.fordblks);
  EXPECT_LE(info.keepcost, info.fordblks);
  EXPECT_LT(info.arena, std::size_t{1} << 32);
}

TEST(Figures, AddUpWhileThreadsWork) {
  std::atomic<unsigned> working{3};
  lull::testing::run_together(4, [&](unsigned t) {
    while (t == 0 && working > 0) expect_sum(mallinfo2());
    for (int i = 0; t != 0 && i < 300; ++i) {
      Blocks blocks;
      blocks.make(100, 40 * t);
      blocks.make(20, 9000 * t);
      blocks.make(2, 400'000);
      blocks.drop();
    }
    if (t != 0) --working;
  });
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
TEST(Figures, OfMallinfoAreAsLargeAsAnIntMayBe) {
  void* block = malloc(std::size_t{3} << 30);
  asm volatile("" : "+r"(block));  // clang leaves a pair of malloc and free out that it sees all of
  if (block != nullptr) {
    EXPECT_EQ(INT_MAX, mallinfo().uordblks);
    EXPECT_EQ(INT_MAX, mallinfo().arena);
    free(block);
  }
  EXPECT_LT(mallinfo().uordblks, INT_MAX);
}
#pragma GCC diagnostic pop

// Running out, in C++.

struct Handler {
  explicit Handler(std::new_handler h) : before(std::set_new_handler(h)) {}
  ~Handler() { std::set_new_handler(before); }
  std::new_handler before;
};
int handler_calls;
void give_up_at_third_call() {
  if (++handler_calls == 3) std::set_new_handler(nullptr);
}
struct Enough {};

TEST(NewHandler, IsAskedUntilThereIsNone) {
  const std::function<void()> attempts[] = {[] { hide(operator new(hide(kTooMuch))); },
                                            [] { hide(operator new[](hide(kTooMuch))); },
                                            [] { hide(operator new(hide(kTooMuch), std::align_val_t{64})); },
                                            [] { hide(operator new[](hide(kTooMuch), std::align_val_t{64})); }};
  for (const auto& attempt : attempts) {
    Handler handler(give_up_at_third_call);
    handler_calls = 0;
    EXPECT_THROW(attempt(), std::bad_alloc);
    EXPECT_EQ(3, handler_calls);
  }
}

TEST(NewHandler, IsAskedByNothrowNewToo) {
  for (const bool aligned : {false, true}) {
    Handler handler(give_up_at_third_call);
    handler_calls = 0;
    EXPECT_EQ(nullptr, aligned ? operator new(hide(kTooMuch), std::align_val_t{64}, std::nothrow)
                               : operator new(hide(kTooMuch), std::nothrow));
    EXPECT_EQ(3, handler_calls);
  }
}

TEST(NewHandler, MayThrow) {
  Handler handler([] { throw std::bad_alloc(); });
  EXPECT_THROW(hide(operator new(hide(kTooMuch))), std::bad_alloc);
  EXPECT_EQ(nullptr, operator new(hide(kTooMuch), std::nothrow));
}

TEST(NewHandler, MallocDoesNotAskIt) {
  Handler handler([] { throw Enough(); });
  EXPECT_EQ(nullptr, malloc(hide(kTooMuch)));
}

void* savings;
void spend_savings() {
  if (savings == nullptr) std::set_new_handler(nullptr);
  std::free(savings);
  savings = nullptr;
}

// No more data than now and `more` bytes.
void limit_data(std::size_t more) {
  std::size_t kib = 0;
  char line[256];
  std::FILE* status = std::fopen("/proc/self/status", "r");
  while (std::fgets(line, sizeof line, status) != nullptr) std::sscanf(line, "VmData: %zu", &kib);
  std::fclose(status);
  const rlimit limit{kib * 1024 + more, kib * 1024 + more};
  LULL_CHILD_EXPECT(setrlimit(RLIMIT_DATA, &limit) == 0);
}

TEST(RunningOut, TheHandlersSavingsAreUsed) {
  lull::testing::expect_success_in_new_process([] {
    limit_data(300 << 20);
    savings = std::malloc(64 << 20);
    std::set_new_handler(spend_savings);
    std::vector<std::unique_ptr<char[]>> held;
    held.reserve(100'000);
    while (savings != nullptr) held.emplace_back(new char[100'000]);
    std::set_new_handler(spend_savings);
    try {
      for (;;) held.emplace_back(new char[100'000]);
    } catch (const std::bad_alloc&) {
    }
    LULL_CHILD_EXPECT(held.size() > 2000 && held.size() < 4000);
  });
}

// Down to the last small block; then exceptions are thrown and caught, which needs memory of the C++ library's own.
TEST(RunningOut, ExceptionsWorkWithoutAByteLeft) {
  lull::testing::expect_success_in_new_process([] {
    limit_data(100 << 20);
    struct Link { Link* next; };
    Link* held = nullptr;
    for (std::size_t size = 1 << 20; size >= 16; size /= 2)
      while (auto* link = static_cast<Link*>(std::malloc(size))) held = new (link) Link{held};
    LULL_CHILD_EXPECT(errno == ENOMEM);
    for (int i = 0; i < 1000; ++i) {
      bool caught = false;
      try {
        hide(new char[1000]);
      } catch (const std::bad_alloc&) {
        caught = true;
      }
      LULL_CHILD_EXPECT(caught);
    }
    for (Link* link = held; link != nullptr;) {
      Link* next = link->next;
      std::free(link);
      link = next;
    }
    // With guards no two of these fit a huge page.
    const int wanted = std::getenv("LULL_MALLOC") == nullptr ? 60 : 35;
    for (int i = 0; i < wanted; ++i) LULL_CHILD_EXPECT(hide(std::malloc(1 << 20)) != nullptr);
  });
}

}  // namespace

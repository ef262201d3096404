// Processes that come from a busy one, where malloc is lull's: fork while other threads allocate and free, in both
// directions; vfork and posix_spawn; thread ends. A child that hangs is ended by its alarm and fails the test.
#include <gtest/gtest.h>

#include <malloc.h>
#include <pthread.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "tests/alloc/support.h"
#include "tests/programs/heap_extent.h"
#include "tests/support/streams.h"

namespace {

using lull::testing::heap_extent;

struct Block {
  std::uint32_t size, check;
  unsigned char* bytes() { return reinterpret_cast<unsigned char*>(this + 1); }
};

Block* make_block(std::mt19937& random) {
  const auto size = static_cast<std::uint32_t>(random() % (random() % 200 == 0 ? 300'000 : 900));
  auto* block = static_cast<Block*>(std::malloc(sizeof(Block) + size));
  if (block == nullptr) return nullptr;
  *block = {size, static_cast<std::uint32_t>(random())};
  std::memset(block->bytes(), static_cast<int>(block->check & 0xff), size);
  return block;
}
bool end_block(Block* block) {
  for (std::uint32_t i = 0; i < block->size; i += 1 + block->size / 64)
    if (block->bytes()[i] != (block->check & 0xff)) return false;
  std::free(block);
  return true;
}

// Blocks that any thread frees: what one thread made, another one, perhaps of the child, gives back. The lock is held over
// fork: the kernel copies pages one by one, so that the child could see a place without its block. Nothing else is held:
// the others are anywhere in malloc and free.
struct Market {
  static constexpr std::size_t kPlaces = 4096;
  std::mutex lock;
  Block* places[kPlaces] = {};
  Block* exchange(std::size_t place, Block* block) {
    std::lock_guard guard(lock);
    return std::exchange(places[place], block);
  }
  bool trade(std::mt19937& random, int turns) {
    for (int i = 0; i < turns; ++i) {
      Block* fresh = make_block(random);
      if (fresh == nullptr) return false;
      Block* old = exchange(random() % kPlaces, fresh);
      if (old != nullptr && !end_block(old)) return false;
    }
    return true;
  }
  bool clear() {
    bool whole = true;
    for (std::size_t place = 0; place < kPlaces; ++place)
      if (Block* block = exchange(place, nullptr)) whole &= end_block(block);
    return whole;
  }
};
Market market;

pid_t fork_from_market() {
  market.lock.lock();
  const pid_t child = fork();
  market.lock.unlock();
  return child;
}

class Traders {
 public:
  explicit Traders(unsigned n) {
    for (unsigned t = 0; t < n; ++t)
      threads_.emplace_back([this, t] {
        std::mt19937 random(t + 1);
        while (!done_.load()) whole_ = market.trade(random, 50) && whole_;
      });
  }
  ~Traders() {
    done_ = true;
    for (auto& thread : threads_) thread.join();
    EXPECT_TRUE(whole_);
    EXPECT_TRUE(market.clear());
  }

 private:
  std::atomic<bool> done_{false}, whole_{true};
  std::vector<std::thread> threads_;
};

// The child inherits the market, goes on trading in it alone and with threads, and clears it.
int live_on(unsigned seed) {
  alarm(20);
  std::mt19937 random(seed);
  if (!market.trade(random, 2000)) return 2;
  std::atomic<bool> whole{true};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 3; ++t)
    threads.emplace_back([&, t] {
      std::mt19937 own(seed + t);
      whole = market.trade(own, 1000) && whole;
    });
  for (auto& thread : threads) thread.join();
  if (!whole) return 3;
  if (!market.clear()) return 4;
  malloc_trim(0);
  void* large = std::malloc(50 << 20);
  if (large == nullptr) return 5;
  std::free(large);
  return 0;
}

void expect_good_end(pid_t child, int round) {
  int status = 0;
  ASSERT_EQ(child, waitpid(child, &status, 0));
  ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0)
      << "round " << round << ": signal " << WTERMSIG(status) << ", exit status " << WEXITSTATUS(status);
}

TEST(Fork, UnderLoadParentAndChildGoOn) {
  ASSERT_NE(0u, heap_extent().size());
  Traders traders(3);
  std::mt19937 random(99);
  const char* given = std::getenv("LULL_FORK_ROUNDS");
  const int rounds = given != nullptr ? std::atoi(given) : 150;
  for (int round = 0; round < rounds; ++round) {
    const pid_t child = fork_from_market();
    ASSERT_GE(child, 0);
    if (child == 0) _exit(live_on(static_cast<unsigned>(round) * 10));
    ASSERT_TRUE(market.trade(random, 200));
    expect_good_end(child, round);
    if (HasFatalFailure()) return;
  }
}

TEST(Fork, AChildForksAndExitsNormally) {
  Traders traders(2);
  for (int round = 0; round < 30; ++round) {
    const pid_t child = fork_from_market();
    if (child == 0) {
      alarm(20);
      std::thread([] {
        const pid_t grandchild = fork_from_market();
        if (grandchild == 0) _exit(live_on(7));
        int status = 1;
        waitpid(grandchild, &status, 0);
        if (status != 0) _exit(6);
      }).join();
      std::string used(100'000, 'x');
      _exit(used.back() == 'x' ? 0 : 1);
    }
    expect_good_end(child, round);
    if (HasFatalFailure()) return;
  }
}

// A child of a child of a child: each has threads and forks from among them.
int live_in_generations(unsigned left) {
  {
    Traders traders(1);
    if (live_on(left) != 0) return 1;
    if (left > 0) {
      const pid_t child = fork_from_market();
      if (child == 0) _exit(live_in_generations(left - 1));
      int status = 1;
      waitpid(child, &status, 0);
      if (status != 0) return 2;
    }
  }
  return 0;
}
TEST(Fork, ChildrenForkToo) {
  Traders traders(1);
  const pid_t child = fork_from_market();
  if (child == 0) _exit(live_in_generations(6));
  expect_good_end(child, 0);
}

TEST(Fork, FromManyThreadsAtOnce) {
  Traders traders(1);
  std::atomic<int> bad{0};
  lull::testing::run_together(4, [&](unsigned t) {
    for (unsigned i = 0; i < 15; ++i) {
      const pid_t child = fork_from_market();
      if (child == 0) _exit(live_on(t * 100 + i));
      int status = 1;
      waitpid(child, &status, 0);
      if (status != 0) bad.fetch_add(1);
    }
  });
  EXPECT_EQ(0, bad);
}

// Threads whose bins are new take arrays for their magazines, more and longer ones, while others fork.
int fork_beside_new_bins() {
  alarm(100);  // hanging is the defect; it takes well below a second
  std::atomic<int> bad{0};
  const int forks = 40;
  lull::testing::run_together(9, [&](unsigned t) {
    if (t == 0) {
      for (int i = 0; i < forks; ++i) {
        const pid_t child = fork();
        if (child == 0) _exit(0);
        int status = 1;
        waitpid(child, &status, 0);
        if (status != 0) bad.fetch_add(1);
      }
      return;
    }
    std::vector<void*> blocks;
    for (std::size_t size = 16; size <= 8192; size += size / 8 / 16 * 16 + 16)
      for (unsigned turn = 0; turn < 4; ++turn) {
        for (unsigned n = 0; n < 100; ++n) blocks.push_back(std::malloc(size));
        for (void* block : std::exchange(blocks, {})) std::free(block);
      }
  });
  return bad.load();
}
TEST(Fork, WhileMagazinesGrow) {
  for (int round = 0; round < 5; ++round) {
    const pid_t child = fork();
    if (child == 0) _exit(fork_beside_new_bins());
    expect_good_end(child, round);
    if (HasFatalFailure()) return;
  }
}

// The handlers of others may allocate: they run before malloc's own get the locks, and after they were released.
[[gnu::noinline]] void allocate_some() {
  std::vector<std::unique_ptr<char[]>> held;
  for (int i = 0; i < 100; ++i) held.emplace_back(new char[static_cast<std::size_t>(i) * 1000 + 1]);
}
__attribute__((constructor(102))) void register_early() { pthread_atfork(allocate_some, allocate_some, allocate_some); }

TEST(Fork, OtherHandlersMayAllocate) {
  pthread_atfork(allocate_some, allocate_some, allocate_some);
  Traders traders(2);
  for (int round = 0; round < 20; ++round) {
    const pid_t child = fork_from_market();
    if (child == 0) _exit(live_on(3));
    expect_good_end(child, round);
  }
}

TEST(Fork, WhileStreamsAreUsed) {
  const pid_t child = fork();
  if (child == 0)
    _exit(lull::testing::fork_beside_streams<lull::testing::WaitingAsEver>(allocate_some, [] { return 0; }));
  expect_good_end(child, 0);
}

TEST(Spawn, ManyProcessesUnderLoad) {
  Traders traders(2);
  for (int i = 0; i < 60; ++i) {
    pid_t child = 0;
    char name[] = "true";
    char* arguments[] = {name, nullptr};
    ASSERT_EQ(0, posix_spawnp(&child, name, nullptr, nullptr, arguments, environ));
    expect_good_end(child, i);
  }
  for (int i = 0; i < 30; ++i) {
    std::FILE* said = popen("echo hello", "r");
    char line[16] = {};
    ASSERT_NE(nullptr, std::fgets(line, sizeof line, said));
    EXPECT_STREQ("hello\n", line);
    EXPECT_EQ(0, pclose(said));
  }
  EXPECT_EQ(0, std::system("true"));
}

TEST(Spawn, VforkUnderLoad) {
  Traders traders(2);
  for (int i = 0; i < 60; ++i) {
    const pid_t child = vfork();
    if (child == 0) {
      execlp("true", "true", nullptr);
      _exit(127);
    }
    expect_good_end(child, i);
  }
}

// Thread ends.

pthread_key_t early_key, late_key;
__attribute__((constructor)) void make_early_key() {
  pthread_key_create(&early_key, [](void* block) {
    void* volatile another = std::malloc(77);  // volatile: or clang leaves out both
    std::free(another);
    std::free(block);
  });
}

TEST(ThreadEnd, KeyDestructorsFreeAndAllocateInEveryOrder) {
  pthread_key_create(&late_key, [](void* block) {
    static thread_local int rounds = 0;
    std::free(block);
    if (++rounds < PTHREAD_DESTRUCTOR_ITERATIONS) pthread_setspecific(late_key, std::malloc(100));  // once more
    std::vector<std::string> words(100, "a word that is too long to be stored inside the object");
  });
  for (int i = 0; i < 500; ++i)
    std::thread([] {
      pthread_setspecific(early_key, std::malloc(1000));
      pthread_setspecific(late_key, std::malloc(40'000));
      thread_local std::vector<std::unique_ptr<int>> own;
      for (int n = 0; n < 100; ++n) own.push_back(std::make_unique<int>(n));
    }).join();
}

// What one only allocates and another only frees is 13 MB in all; the bound was 20 MiB once, which nothing could pass.
TEST(ThreadEnd, ThreadsThatOnlyFreeOrOnlyAllocate) {
  const std::size_t before = mallinfo2().uordblks;
  for (int i = 0; i < 200; ++i) {
    std::vector<void*> blocks(1000);
    std::thread([&] {
      for (auto& block : blocks) block = std::malloc(50);
    }).join();
    std::thread([&] {
      for (void* block : blocks) std::free(block);
    }).join();
  }
  const std::size_t after = mallinfo2().uordblks;
  EXPECT_LT(after, before + (512u << 10));
}

}  // namespace

// What users of other mallocs complain of most: memory that stays with the process. Here lull is the program's malloc.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "tests/alloc/support.h"

namespace {

using lull::testing::resident_bytes;

constexpr std::size_t kMiB = 1 << 20;

// Secure mode's quarantine is part of what stays.
std::size_t allowance(std::size_t bytes) { return std::getenv("LULL_MALLOC") == nullptr ? bytes : bytes + 16 * kMiB; }

std::size_t next_random(std::size_t below) {
  static unsigned state = 1;
  state = state * 1664525 + 1013904223;
  return (state >> 8) % below;
}

char* touched(std::size_t bytes) {
  return static_cast<char*>(std::memset(std::malloc(bytes), 1, bytes));
}

// The purger takes about a second, and longer on a busy machine.
bool falls_to(std::size_t most) {
  for (int i = 0; i < 200 && resident_bytes() > most; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(100));
  return resident_bytes() <= most;
}

std::size_t count_mappings() {
  std::size_t lines = 0;
  std::FILE* maps = std::fopen("/proc/self/maps", "r");
  for (int c; (c = std::getc(maps)) != EOF;) lines += c == '\n';
  std::fclose(maps);
  return lines;
}

// mimalloc's issues 1117 and 1364: a thread that frees what others made and allocates nothing kept it, above all once it slept.
TEST(Returned, WhatAThreadFreesThatNeverAllocatesAndSleeps) {
  std::mutex lock;
  std::condition_variable changed;
  std::vector<char*> box;
  bool over = false;
  std::thread frees([&] {
    std::vector<char*> own;
    own.swap(box);  // empty: not even the array is this thread's
    std::unique_lock guard(lock);
    while (!over) {
      for (char* block : box) std::free(block);
      box.clear();
      changed.notify_all();
      changed.wait(guard, [&] { return over || !box.empty(); });
    }
  });
  const std::size_t before = resident_bytes();
  std::size_t most = 0;
  for (int round = 0; round < 100; ++round) {
    std::vector<char*> blocks;
    for (std::size_t bytes = 0, n; bytes < 10 * kMiB; bytes += n) blocks.push_back(touched(n = 16 + next_random(1000)));
    most = std::max(most, resident_bytes());
    std::unique_lock guard(lock);
    box.swap(blocks);
    changed.notify_all();
    changed.wait(guard, [&] { return box.empty(); });
  }
  EXPECT_LT(most, before + allowance(30 * kMiB)) << "a gigabyte went through, ten MiB at a time";
  EXPECT_TRUE(falls_to(before + allowance(4 * kMiB))) << resident_bytes() << ", before " << before;
  {
    std::lock_guard guard(lock);
    over = true;
  }
  changed.notify_all();
  frees.join();
}

// jemalloc's issue 1328 and others: where memory goes back by changing its protection or its flags, mappings are split until there are no more
// (65,530), and every allocation fails.
TEST(Returned, BySplittingNoMappings) {
  constexpr std::size_t kBlocks = 100'000;
  std::vector<char*> blocks(kBlocks);
  for (char*& block : blocks) block = touched(2048);
  const std::size_t before = count_mappings(), full = resident_bytes();
  for (int turn = 0; turn < 2; ++turn) {
    for (std::size_t i = 0; i < kBlocks; ++i)
      if (i % 20 != 0) std::free(std::exchange(blocks[i], nullptr));
    EXPECT_TRUE(falls_to(full - kBlocks * 2048 / 2)) << resident_bytes() << " of " << full;
    EXPECT_LE(count_mappings(), before + 8);
    for (char*& block : blocks)
      if (block == nullptr) block = touched(2048);
    EXPECT_LE(count_mappings(), before + 8);
  }
  for (char* block : blocks) std::free(block);
}

}  // namespace

// What the tests of alloc/ share: seeds, sanitizer-aware sizes, threads that start together, children with an outcome.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <sys/resource.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#ifndef __has_feature
#define __has_feature(x) 0
#endif

namespace lull::testing {

#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
inline constexpr bool kThreadSanitizer = true;
#else
inline constexpr bool kThreadSanitizer = false;
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
inline constexpr bool kAddressSanitizer = true;
#else
inline constexpr bool kAddressSanitizer = false;
#endif
inline constexpr bool kSanitized = kThreadSanitizer || kAddressSanitizer;

// `n` iterations, fewer where each takes many times as long.
constexpr int scaled(int n) { return kThreadSanitizer ? n / 20 : kAddressSanitizer ? n / 5 : n; }

// The seed of this run, printed; LULL_TEST_SEED replays one.
inline std::uint64_t seed_of_this_run() {
  const char* given = std::getenv("LULL_TEST_SEED");
  const std::uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  std::printf("LULL_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed));
  std::fflush(stdout);
  return seed;
}

// Runs body(0) ... body(threads - 1), all from the same moment on.
template <class Body>
void run_together(unsigned threads, Body&& body) {
  std::atomic<unsigned> waiting{threads};
  std::vector<std::thread> running;
  for (unsigned t = 0; t < threads; ++t)
    running.emplace_back([t, &waiting, &body] {
      waiting.fetch_sub(1);
      while (waiting.load() != 0) std::this_thread::yield();
      body(t);
    });
  for (std::thread& thread : running) thread.join();
}

struct ChildOutcome {
  int status = 0;      // of waitpid
  std::string errors;  // what it wrote to standard error
  bool exited_well() const { return WIFEXITED(status) && WEXITSTATUS(status) == 0; }
  bool aborted() const { return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT; }
};

// Runs `body` in a forked child, which exits with 0 after it.
template <class Body>
ChildOutcome run_in_child(Body&& body) {
  ChildOutcome outcome;
  int pipe_ends[2];
  EXPECT_EQ(0, ::pipe(pipe_ends));
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit no_core{0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    ::dup2(pipe_ends[1], STDERR_FILENO);
    body();
    ::_exit(0);
  }
  ::close(pipe_ends[1]);
  char buffer[1024];
  for (ssize_t n; (n = ::read(pipe_ends[0], buffer, sizeof buffer)) > 0;)
    outcome.errors.append(buffer, static_cast<std::size_t>(n));
  ::close(pipe_ends[0]);
  ::waitpid(child, &outcome.status, 0);
  return outcome;
}

// Runs `body` in a process where nothing but this test case up to here has run, and expects it to return.
template <class Body>
void expect_success_in_new_process(Body&& body) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(body(); ::_exit(0), ::testing::ExitedWithCode(0), "");
}

// For code that runs in a child: EXPECT_ and ASSERT_ do not reach the parent.
#define LULL_CHILD_EXPECT(condition) \
  do { \
    if (!(condition)) { \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      ::_exit(1); \
    } \
  } while (false)

inline std::size_t statm_bytes(int field) {
  unsigned long values[2] = {};
  std::FILE* file = std::fopen("/proc/self/statm", "r");
  if (file == nullptr) return 0;
  const int read = std::fscanf(file, "%lu %lu", &values[0], &values[1]);
  std::fclose(file);
  return read == 2 ? values[field] * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)) : 0;
}
inline std::size_t mapped_bytes() { return statm_bytes(0); }
inline std::size_t resident_bytes() { return statm_bytes(1); }

}  // namespace lull::testing

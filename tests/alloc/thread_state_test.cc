// What waiting threads' stacks say is tested with those who use it: sleepers_test.cc.
#include "alloc/os/thread_state.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <csignal>
#include <pthread.h>

#include "alloc/os/thread.h"

namespace lull::os {
namespace {

TEST(ThreadStatus, NamesTheThreadAndTheSignalsItBlocks) {
  pthread_setname_np(pthread_self(), "State:\tZ name");
  sigset_t set, before;
  sigemptyset(&set);
  sigaddset(&set, SIGURG);
  pthread_sigmask(SIG_BLOCK, &set, &before);
  errno = 4711;
  const ThreadStatus status = status_of_thread(current_thread_id());
  EXPECT_EQ(errno, 4711);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  EXPECT_STREQ(status.name, "State:\tZ name");
  EXPECT_EQ(status.state, 'R');
  EXPECT_TRUE(status.blocked_signals >> (SIGURG - 1) & 1);
  EXPECT_FALSE(status_of_thread(current_thread_id()).blocked_signals >> (SIGURG - 1) & 1);
}

TEST(ThreadStatus, OfNobodyIsUnknown) {
  const ThreadStatus status = status_of_thread(-1);
  EXPECT_STREQ(status.name, "?");
  EXPECT_EQ(status.state, '?');
}

}  // namespace
}  // namespace lull::os

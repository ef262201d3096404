// lull/scoped.h: objects in frames, and managed memory that the kernel uses by its address.
#include "lull/scoped.h"

#include <gtest/gtest.h>

#include <cstring>
#include <sys/socket.h>
#include <sys/uio.h>
#include <thread>
#include <unistd.h>

#include "gc/model/options.h"
#include "lull/lull.h"
#include "tests/support/scale.h"

namespace {

using lull::ptr;
using lull::scoped;
using lull::testing::scaled;

struct Node {
  ptr<Node> next;
  int value = 0;
  void trace(lull::tracer& t) const { t(next); }
};

template <class T>
concept can_be_new = requires { new T(); };
static_assert(!std::is_copy_constructible_v<scoped<Node>> && !std::is_move_constructible_v<scoped<Node>> && !std::is_copy_assignable_v<scoped<Node>>);
static_assert(!can_be_new<scoped<Node>> && !std::is_convertible_v<scoped<Node>, ptr<Node>>);

TEST(Scoped, ReferencesInItsObjectKeepTheirs) {
  scoped<Node> list;
  ptr<Node>* tail = &list->next;
  for (int i = 0; i < 100; ++i) {
    *tail = lull::make<Node>();
    (*tail)->value = i;
    tail = &(*tail)->next;
    if (i % 10 == 0) lull::collect();
  }
  int i = 0;
  for (Node* n = list->next.get(); n != nullptr; n = n->next.get()) ASSERT_EQ(n->value, i++);
  EXPECT_EQ(i, 100);
}

TEST(Scoped, IsDestroyedAtTheEndOfItsScope) {
  static int destroyed;
  destroyed = 0;
  struct Counted {
    explicit Counted(int n) : number(n) {}
    ~Counted() { ++destroyed; }
    int number;
  };
  {
    scoped<Counted> c(5);
    EXPECT_EQ(c->number, 5);
    EXPECT_EQ((*c).number, 5);
  }
  EXPECT_EQ(destroyed, 1);
}

// Nothing moves: buffers go to the kernel by their addresses through as many collections as there are messages.
TEST(ZeroCopy, ManagedBuffersGoThroughASocketWhileCyclesRun) {
  constexpr std::size_t kBytes = 8192;
  const int messages = scaled(1000);
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  std::thread echo([&] {
    lull::attach_thread();
    for (int i = 0; i < messages; ++i) {
      ptr<char[]> buffer = lull::make_array<char>(kBytes);
      std::size_t got = 0;
      while (got < kBytes) {
        lull::blocking_region reading;
        const ssize_t n = ::read(ends[1], buffer.get() + got, kBytes - got);
        if (n <= 0) return;
        got += static_cast<std::size_t>(n);
      }
      ::iovec halves[] = {{buffer.get() + kBytes / 2, kBytes / 2}, {buffer.get(), kBytes / 2}};
      {
        lull::blocking_region writing;
        if (::writev(ends[1], halves, 2) != static_cast<ssize_t>(kBytes)) return;
      }
      lull::keep_alive(ptr<char>(buffer.get()));
    }
  });
  for (int i = 0; i < messages; ++i) {
    ptr<char[]> sent = lull::make_array<char>(kBytes), received = lull::make_array<char>(kBytes);
    for (std::size_t k = 0; k < kBytes; ++k) sent[k] = static_cast<char>(static_cast<std::size_t>(i) + k / 7);
    lull::collect();
    std::size_t got = 0;
    {
      lull::blocking_region talking;
      ASSERT_EQ(::write(ends[0], sent.get(), kBytes), static_cast<ssize_t>(kBytes));
      while (got < kBytes) {
        const ssize_t n = ::read(ends[0], received.get() + got, kBytes - got);
        ASSERT_GT(n, 0);
        got += static_cast<std::size_t>(n);
      }
    }
    ASSERT_EQ(std::memcmp(received.get(), sent.get() + kBytes / 2, kBytes / 2), 0);
    ASSERT_EQ(std::memcmp(received.get() + kBytes / 2, sent.get(), kBytes / 2), 0);
  }
  {
    lull::blocking_region joining;
    echo.join();
  }
  ::close(ends[0]), ::close(ends[1]);
}

}  // namespace

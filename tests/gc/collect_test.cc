// What collect() promises: everything reachable stays as it is, everything else is gone.
//
// Stacks are scanned conservatively, so a word left over from an earlier call keeps an object alive. Whatever is expected
// to die is therefore made and dropped on a thread that has ended (elsewhere()), and known here only as Hidden.
#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <csignal>
#include <forward_list>
#include <map>
#include <mutex>
#include <semaphore>
#include <vector>

#include "gc/cycle/driver.h"
#include "gc/model/options.h"
#include "tests/support/hidden.h"
#include "tests/support/random_graph.h"
#include "tests/support/scale.h"
#include "tests/support/seed.h"

namespace {

using lull::make;
using lull::make_array;
using lull::ptr;
using lull::root;
using lull::testing::announced_seed;
using lull::testing::clear_stack_below;
using lull::testing::elsewhere;
using lull::testing::Hidden;
using lull::testing::is_allocated;
using lull::testing::RandomGraph;
using lull::testing::scaled;

constexpr std::uint64_t kIntact = 0x1234'5678'9abc'def0;

struct Node {
  ptr<Node> next, other;
  std::uint64_t value = kIntact;
  void trace(lull::tracer& t) const { t(next, other); }
};
struct Untraced {  // scanned conservatively
  std::uint64_t before = kIntact;
  ptr<Node> smart;
  Node* raw = nullptr;
  std::uint64_t after = kIntact;
};

class Collect : public testing::Test {
 protected:
  void SetUp() override {
    lull::gc::read_options();
    lull::gc::options.scribble = 1;
    lull::set_gc_percent(-1);
    lull::attach_thread();
  }
};

std::uint64_t objects() { return lull::read_mem_stats().heap_objects; }

// Two cycles: what became unreachable before the first is gone after it, what floated in it after the second.
std::uint64_t objects_after_two_cycles() {
  lull::collect();
  lull::collect();
  return objects();
}

// Unreachable structures go, whatever their shape.

TEST_F(Collect, ASingleObjectGoes) {
  const std::uint64_t before = objects_after_two_cycles();
  Hidden gone;
  elsewhere([&] { gone = Hidden(make<Node>().get()); });
  EXPECT_EQ(objects(), before + 1);
  lull::collect();
  EXPECT_FALSE(is_allocated(gone));
  EXPECT_EQ(objects(), before);
}

TEST_F(Collect, CyclesOfObjectsGo) {
  const std::uint64_t before = objects_after_two_cycles();
  elsewhere([] {
    ptr<Node> self = make<Node>();
    self->next = self;
    for (int length = 2; length < 50; ++length) {
      ptr<Node> first = make<Node>(), last = first;
      for (int i = 1; i < length; ++i) {
        last->next = make<Node>();
        last->next->other = last;
        last = last->next;
      }
      last->next = first;
    }
    ptr<ptr<void>[]> array = make_array<ptr<void>>(10);
    for (ptr<void>& p : array) p = ptr<void>(array.get());
  });
  EXPECT_EQ(objects_after_two_cycles(), before);
}

root<Node> anchor;
root<ptr<Node>[]> wide;

int length_of(const root<Node>& list) {
  int n = 0;
  for (const Node* at = list.get(); at != nullptr; at = at->next.get(), ++n)
    if (at->value != kIntact) return -1;
  return n;
}

TEST_F(Collect, AListOfAMillionStaysAndGoes) {
  const int n = scaled(1'000'000);
  const std::uint64_t before = objects_after_two_cycles();
  elsewhere([&] {
    for (int i = 0; i < n; ++i) {
      ptr<Node> node = make<Node>();
      node->next = anchor;
      anchor = node;
    }
  });
  EXPECT_EQ(objects_after_two_cycles(), before + static_cast<std::uint64_t>(n));
  elsewhere([&] { EXPECT_EQ(length_of(anchor), n); });
  elsewhere([] { anchor = nullptr; });
  EXPECT_EQ(objects_after_two_cycles(), before);
}

TEST_F(Collect, AWideArrayStaysAndGoes) {
  const auto n = static_cast<std::size_t>(scaled(1'000'000));
  const std::uint64_t before = objects_after_two_cycles();
  elsewhere([&] {
    wide = make_array<ptr<Node>>(n);
    for (ptr<Node>& p : wide) p = make<Node>();
  });
  EXPECT_EQ(objects_after_two_cycles(), before + n + 1);
  elsewhere([&] {
    for (const ptr<Node>& p : wide) ASSERT_EQ(p->value, kIntact);
    for (std::size_t i = 0; i < n; i += 2) wide[i] = nullptr;
  });
  EXPECT_EQ(objects_after_two_cycles(), before + n / 2 + 1);
  elsewhere([] { wide = nullptr; });
  EXPECT_EQ(objects_after_two_cycles(), before);
}

// How far the heap grows beyond its goal depends on when the driver gets a processor, so there is no bound in bytes here.
TEST_F(Collect, MemoryIsUsedAgain) {
  lull::set_gc_percent(100);
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  elsewhere([&] {
    lull::mem_stats stats;
    do {
      for (int i = 0; i < 50'000; ++i) {
        ptr<Node> garbage = make<Node>();
        garbage->next = make<Node>();
        if (i % 1000 == 0) make_array<ptr<Node>>(10'000);
      }
      stats = lull::read_mem_stats();
    } while (stats.total_alloc < 10 * stats.heap_sys && std::chrono::steady_clock::now() < give_up);
    EXPECT_GE(stats.total_alloc, 10 * stats.heap_sys);
    EXPECT_GE(stats.num_gc, 5u);
    EXPECT_EQ(stats.num_forced_gc, 0u);
  });
}

// References that keep.

TEST_F(Collect, RootsInGlobalsKeep) {
  elsewhere([] { anchor = make<Node>(); });
  objects_after_two_cycles();
  EXPECT_EQ(length_of(anchor), 1);
}

TEST_F(Collect, RootsInStandardContainersKeep) {
  static std::vector<root<Node>> vector;
  static std::map<int, root<Node>> map;
  static std::forward_list<root<const Node>> list;
  const std::uint64_t before = objects_after_two_cycles();
  elsewhere([] {
    for (int i = 0; i < 1000; ++i) {
      vector.push_back(make<Node>());
      map[i] = make<Node>();
      list.push_front(make<Node>());
    }
    vector.erase(vector.begin(), vector.begin() + 500);
    for (int i = 0; i < 1000; i += 4) map.erase(i);
  });
  EXPECT_EQ(objects_after_two_cycles(), before + 500 + 750 + 1000);
  for (const auto& r : vector) ASSERT_EQ(r->value, kIntact);
  for (const auto& [key, r] : map) ASSERT_EQ(r->value, kIntact);
  for (const auto& r : list) ASSERT_EQ(r->value, kIntact);
  elsewhere([] {
    vector.clear();
    map.clear();
    list.clear();
  });
  EXPECT_EQ(objects_after_two_cycles(), before);
}

thread_local root<Node> of_this_thread;

TEST_F(Collect, AThreadLocalRootKeepsUntilItsThreadEnds) {
  const std::uint64_t before = objects_after_two_cycles();
  std::binary_semaphore made{0}, may_end{0};
  std::thread thread([&] {
    [&]() __attribute__((noinline)) { of_this_thread = make<Node>(); }();
    made.release();
    lull::blocking_region waiting;
    may_end.acquire();
    EXPECT_EQ(of_this_thread->value, kIntact);
  });
  made.acquire();
  EXPECT_EQ(objects_after_two_cycles(), before + 1);
  may_end.release();
  thread.join();
  EXPECT_EQ(objects_after_two_cycles(), before);
}

TEST_F(Collect, ObjectsWithoutTraceAreScannedConservatively) {
  static root<Untraced> untraced;
  const std::uint64_t before = objects_after_two_cycles();
  elsewhere([] {
    untraced = make<Untraced>();
    untraced->smart = make<Node>();
    untraced->raw = make<Node>().get();
  });
  EXPECT_EQ(objects_after_two_cycles(), before + 3);
  EXPECT_EQ(untraced->smart->value, kIntact);
  EXPECT_EQ(untraced->raw->value, kIntact);
  EXPECT_EQ(untraced->before, kIntact);
  EXPECT_EQ(untraced->after, kIntact);
}

TEST_F(Collect, TypesWithoutPointersAreNotScanned) {
  static root<std::uintptr_t[]> numbers;
  elsewhere([] {
    numbers = make_array<std::uintptr_t>(2);
    numbers[0] = reinterpret_cast<std::uintptr_t>(make<Node>().get());
  });
  const Hidden target(reinterpret_cast<void*>(numbers[0]));
  clear_stack_below();
  elsewhere([&] { numbers[1] = ~target.address(); });
  const std::uint64_t before = objects();
  objects_after_two_cycles();
  EXPECT_LT(objects(), before + 1);  // exact only where this thread's stack holds no copy of numbers[0]
}

TEST_F(Collect, InteriorPointersInTheHeapKeep) {
  struct Holder {
    ptr<std::uint64_t> member;
    ptr<char> byte;
    ptr<std::uint64_t> behind_the_end;
    void trace(lull::tracer& t) const { t(member, byte, behind_the_end); }
  };
  static root<Holder> holder;
  elsewhere([] {
    holder = make<Holder>();
    holder->member = ptr<std::uint64_t>(&make<Node>()->value);
    ptr<char[]> text = make_array<char>(100'000);
    text[99'999] = 'x';
    holder->byte = ptr<char>(&text[99'999]);
    ptr<std::uint64_t[]> words = make_array<std::uint64_t>(64);
    for (std::uint64_t& w : words) w = kIntact;
    holder->behind_the_end = ptr<std::uint64_t>(words.end());
  });
  objects_after_two_cycles();
  EXPECT_EQ(*holder->member, kIntact);
  EXPECT_EQ(*holder->byte, 'x');
  for (int i = 1; i <= 64; ++i) ASSERT_EQ(holder->behind_the_end.get()[-i], kIntact);
}

// Plain pointers in locals. Each is made by a function that is not inlined, so nothing else refers to the object.

[[gnu::noinline]] Node* make_raw() {
  ptr<Node> node = make<Node>();
  node->next = make<Node>();
  return node.get();
}
[[gnu::noinline]] std::uint64_t* make_interior() { return &make<Node>()->value; }
[[gnu::noinline]] char* make_behind_the_end() {
  ptr<char[]> a = make_array<char>(64);
  for (char& c : a) c = 'x';
  return a.end();
}

TEST_F(Collect, PlainPointersInLocalsKeep) {
  Node* node = make_raw();
  std::uint64_t* interior = make_interior();
  char* end = make_behind_the_end();
  Node* in_array[] = {make_raw(), make_raw(), make_raw()};
  clear_stack_below();
  objects_after_two_cycles();
  EXPECT_EQ(node->next->value, kIntact);
  EXPECT_EQ(*interior, kIntact);
  for (int i = 1; i <= 64; ++i) ASSERT_EQ(end[-i], 'x');
  for (Node* n : in_array) EXPECT_EQ(n->next->value, kIntact);
}

// More pointers than there are registers, so some are in callee-saved ones while collect() blocks and others spilled.
TEST_F(Collect, PlainPointersInRegistersKeep) {
  for (int i = 0; i < 20; ++i) {
    Node *a = make_raw(), *b = make_raw(), *c = make_raw(), *d = make_raw(), *e = make_raw(), *f = make_raw(), *g = make_raw();
    clear_stack_below();
    lull::collect();
    ASSERT_EQ(a->next->value & b->next->value & c->next->value & d->next->value, kIntact);
    ASSERT_EQ(e->next->value & f->next->value & g->next->value, kIntact);
  }
}

TEST_F(Collect, PlainPointersInCallersFramesKeep) {
  struct Recursion {
    [[gnu::noinline]] static std::uint64_t descend(int depth) {
      Node* mine = make_raw();
      const std::uint64_t below = depth == 0 ? (lull::collect(), lull::collect(), kIntact) : descend(depth - 1);
      asm volatile("" ::: "memory");
      return mine->next->value & mine->value & below;
    }
  };
  EXPECT_EQ(Recursion::descend(200), kIntact);
}

// What another thread holds, whatever it is doing while this one collects.

std::atomic<bool> ready{false}, collected{false};
std::counting_semaphore<> may_end{0};

class OtherThread : public Collect {
 protected:
  // Runs `hold` on another thread. It makes an object, says `ready` and holds the object until `collected`.
  template <class Hold>
  void collect_while(Hold hold) {
    std::thread thread(hold);
    while (!ready) std::this_thread::yield();
    lull::collect();
    lull::collect();
    collected = true;
    may_end.release();
    lull::blocking_region joining;
    thread.join();
  }
};

TEST_F(OtherThread, ThatIsInABlockingRegionKeepsWhatItHolds) {
  collect_while([] {
    Node* node = make_raw();
    clear_stack_below();
    {
      lull::blocking_region waiting;
      ready = true;
      may_end.acquire();
    }
    EXPECT_EQ(node->next->value, kIntact);
  });
}

TEST_F(OtherThread, ThatPollsKeepsWhatItHolds) {
  collect_while([] {
    Node* node = make_raw();
    clear_stack_below();
    ready = true;
    while (!collected) lull::safepoint();
    EXPECT_EQ(node->next->value, kIntact);
  });
}

TEST_F(OtherThread, ThatAllocatesKeepsWhatItHolds) {
  collect_while([] {
    Node* node = make_raw();
    clear_stack_below();
    ready = true;
    while (!collected) make<Node>();
    EXPECT_EQ(node->next->value, kIntact);
  });
}

#if !defined(__SANITIZE_THREAD__)  // no signals there: threads that do not poll would hang the collector

TEST_F(OtherThread, ThatSpinsWithoutPollingKeepsWhatItHolds) {
  collect_while([] {
    Node* node = make_raw();
    clear_stack_below();
    ready = true;
    while (!collected) {
    }
    EXPECT_EQ(node->next->value, kIntact);
  });
}

TEST_F(OtherThread, ThatSleepsInTheKernelKeepsWhatItHolds) {
  collect_while([] {
    Node* node = make_raw();
    clear_stack_below();
    ready = true;
    may_end.acquire();  // not in a blocking region: interrupted by the signal, and resumed
    EXPECT_EQ(node->next->value, kIntact);
  });
}

TEST_F(OtherThread, ThatWaitsForAConditionKeepsWhatItHolds) {
  collect_while([] {
    Node* node = make_raw();
    clear_stack_below();
    std::mutex mutex;
    std::condition_variable condition;
    std::unique_lock lock(mutex);
    ready = true;
    while (!collected) condition.wait_for(lock, std::chrono::milliseconds(1));
    EXPECT_EQ(node->next->value, kIntact);
  });
}

// The only reference is in one register, of each kind in turn.

[[gnu::noinline]] std::uintptr_t make_disguised() { return ~reinterpret_cast<std::uintptr_t>(make_raw()); }

#define LULL_SPIN(keep_in_register, take_from_register)                         \
  collect_while([] {                                                           \
    const std::uintptr_t disguised = make_disguised();                          \
    clear_stack_below();                                                        \
    Node* node = nullptr;                                                       \
    asm volatile(                                                               \
        "mov %[disguised], %%rax\n\t"                                           \
        "not %%rax\n\t" keep_in_register                                        \
        "\n\txor %%eax, %%eax\n\t"                                              \
        "movb $1, %[ready]\n"                                                   \
        "1: cmpb $0, %[collected]\n\t"                                          \
        "je 1b\n\t" take_from_register "\n\t"                                   \
        "mov %%rax, %[node]"                                                    \
        : [node] "=m"(node), [ready] "+m"(ready), [collected] "+m"(collected)   \
        : [disguised] "m"(disguised)                                            \
        : "rax", "rbx", "r9", "r15", "xmm0", "xmm15", "memory");                \
    EXPECT_EQ(node->next->value, kIntact);                                      \
  })

TEST_F(OtherThread, ThatSpinsKeepsWhatACallerSavedRegisterHolds) {
  LULL_SPIN("mov %%rax, %%r9", "mov %%r9, %%rax\n\txor %%r9d, %%r9d");
}
TEST_F(OtherThread, ThatSpinsKeepsWhatACalleeSavedRegisterHolds) {
  LULL_SPIN("mov %%rax, %%r15", "mov %%r15, %%rax\n\txor %%r15d, %%r15d");
}
TEST_F(OtherThread, ThatSpinsKeepsWhatAVectorRegisterHolds) {
  LULL_SPIN("movq %%rax, %%xmm15", "movq %%xmm15, %%rax\n\tpxor %%xmm15, %%xmm15");
}
TEST_F(OtherThread, ThatSpinsKeepsWhatTheUpperHalfOfAVectorRegisterHolds) {
  if (!__builtin_cpu_supports("avx")) GTEST_SKIP() << "no AVX";
  LULL_SPIN("vmovq %%rax, %%xmm15\n\tvperm2f128 $0x08, %%ymm15, %%ymm15, %%ymm15",
            "vextractf128 $1, %%ymm15, %%xmm15\n\tvmovq %%xmm15, %%rax\n\tvzeroall");
}
TEST_F(OtherThread, ThatSpinsKeepsWhatTheRedZoneHolds) {
  LULL_SPIN("mov %%rax, -128(%%rsp)", "mov -128(%%rsp), %%rax\n\tmovq $0, -128(%%rsp)");
}

// A handler of the program's own on an alternate stack: the interrupted frames are on the main one.

TEST_F(OtherThread, ThatIsInAHandlerOnAnAlternateStackKeepsWhatBothStacksHold) {
  collect_while([] {
    static char stack[64 * 1024];
    const stack_t alternate{stack, 0, sizeof stack};
    ASSERT_EQ(sigaltstack(&alternate, nullptr), 0);
    struct sigaction action {};
    action.sa_flags = SA_ONSTACK;
    action.sa_handler = [](int) {
      Node* of_handler = make_raw();  // raise() below is synchronous, so the handler may do anything
      clear_stack_below();
      ready = true;
      while (!collected) {
      }
      EXPECT_EQ(of_handler->next->value, kIntact);
    };
    ASSERT_EQ(sigaction(SIGUSR1, &action, nullptr), 0);
    Node* volatile of_main = make_raw();  // in the frame, not in a register that the signal frame saves
    clear_stack_below();
    raise(SIGUSR1);
    EXPECT_EQ(of_main->next->value, kIntact);
    const stack_t disabled{nullptr, SS_DISABLE, 0};
    sigaltstack(&disabled, nullptr);
  });
}

#endif

// The oracle: a random graph and a model of it (tests/support/random_graph.h).

TEST_F(Collect, ARandomGraphIsExactlyWhatItsModelSays) {
  const std::uint64_t before = objects_after_two_cycles();
  RandomGraph graph(announced_seed(), 100);
  for (int round = 0; round < 20; ++round) {
    elsewhere([&] { graph.batch(scaled(10'000)); });
    std::size_t reachable = 0;
    elsewhere([&] { reachable = graph.forget_unreachable(); });
    ASSERT_EQ(objects_after_two_cycles(), before + reachable) << "round " << round;
    elsewhere([&] { ASSERT_EQ(graph.check(), 0u) << "round " << round; });
  }
}

// The same while cycles run one after another; and then nothing may be left over either.
TEST_F(Collect, ARandomGraphThatChangesWhileCyclesRunIsExactlyWhatItsModelSays) {
  const std::uint64_t before = objects_after_two_cycles();
  RandomGraph graph(announced_seed(), 1000);  // large enough for marking to take some milliseconds
  for (int round = 0; round < 4; ++round) {
    std::atomic<bool> done{false};
    std::thread mutator([&] {
      graph.batch(scaled(40'000));
      done = true;
    });
    while (!done) lull::collect();
    {
      lull::blocking_region joining;
      mutator.join();
    }
    std::size_t reachable = 0;
    elsewhere([&] {
      reachable = graph.forget_unreachable();
      ASSERT_EQ(graph.check(), 0u) << "round " << round;
    });
    ASSERT_EQ(objects_after_two_cycles(), before + reachable) << "round " << round;
  }
}

TEST_F(Collect, RandomGraphsOfSeveralThreadsAreExactlyWhatTheirModelsSay) {
  lull::set_gc_percent(50);
  const std::uint64_t seed = announced_seed();
  const std::uint64_t before = objects_after_two_cycles();
  constexpr int kThreads = 4;
  std::vector<std::unique_ptr<RandomGraph>> graphs;
  for (std::uint64_t t = 0; t < kThreads; ++t) graphs.push_back(std::make_unique<RandomGraph>(seed + t, 100));
  const auto on_every_graph = [&](auto&& body) {
    std::vector<std::thread> threads;
    for (auto& graph : graphs) threads.emplace_back([&] { body(*graph); });
    lull::blocking_region joining;
    for (std::thread& t : threads) t.join();
  };
  for (int round = 0; round < 5; ++round) {
    on_every_graph([](RandomGraph& graph) { graph.batch(scaled(10'000)); });
    std::atomic<std::size_t> reachable{0};
    on_every_graph([&](RandomGraph& graph) {
      reachable += graph.forget_unreachable();
      EXPECT_EQ(graph.check(), 0u);
    });
    ASSERT_EQ(objects_after_two_cycles(), before + reachable) << "round " << round;
  }
}

}  // namespace

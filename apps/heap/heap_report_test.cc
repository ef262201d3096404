// Heap dumps: what lull::dump_heap writes is what the program can reach, and what the reports say of it follows from that.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <random>
#include <sstream>
#include <thread>

#include "apps/heap/type_tree.h"
#include "gc/mutator/roots.h"
#include "lull/lull.h"
#include "tests/support/hidden.h"

namespace lull::heap_report {
namespace {

using lull::testing::elsewhere;

struct Leaf {
  std::uint64_t payload[6];
};
struct Link {
  ptr<Link> next;
  ptr<Leaf> leaf;
  void trace(tracer& t) const { t(next, leaf); }
};
struct Table {
  ptr<ptr<Link>[]> chains;
  void trace(tracer& t) const { t(chains); }
};
struct Untraced {
  ptr<Leaf> leaf;
};
struct Closes {
  ptr<Leaf> leaf;
  ~Closes() {}
  void trace(tracer& t) const { t(leaf); }
};

class File {
 public:
  File() { ::close(::mkstemp(path_)); }
  ~File() { ::unlink(path_); }
  const char* path() const { return path_; }

 private:
  char path_[32] = "/tmp/lull_heap_dump.XXXXXX";
};

Dump take_dump(dump_mode mode = dump_mode::copy, heap_dump_info* info = nullptr) {
  File file;
  EXPECT_TRUE(dump_heap(file.path(), mode, info)) << std::strerror(errno);
  return read_dump(file.path());
}

const Type& type_of(const Dump& dump, std::string_view name) {
  static const Type none;
  for (const Type& t : dump.types)
    if (t.name.ends_with(name)) return t;
  return none;
}
Object only_object(const Dump& dump, std::string_view type) {
  for (Object o = 1; o < dump.objects(); ++o)
    if (dump.type_name(o).ends_with(type)) return o;
  return kRoots;
}

[[gnu::noinline]] ptr<Link> chain(int links) {
  ptr<Link> first;
  for (int i = 0; i < links; ++i) {
    ptr<Link> link = make<Link>();
    link->next = first;
    link->leaf = make<Leaf>();
    first = link;
  }
  return first;
}

// What tests of dumps keep is made on threads of their own, so that no stack of this one holds more.
class HeapDump : public ::testing::TestWithParam<dump_mode> {};
INSTANTIATE_TEST_SUITE_P(Modes, HeapDump, ::testing::Values(dump_mode::copy, dump_mode::stopped),
                         [](const auto& p) { return p.param == dump_mode::copy ? "Copy" : "Stopped"; });

TEST_P(HeapDump, HoldsWhatIsReachableWithTypesSizesAndReferences) {
  root<Table> table;
  elsewhere([&] {
    ptr<Table> t = make<Table>();
    t->chains = make_array<ptr<Link>>(10);
    for (int i = 0; i < 10; ++i) t->chains[static_cast<std::size_t>(i)] = chain(100);
    table = t;
    chain(500);  // garbage
  });
  heap_dump_info info;
  const Dump dump = take_dump(GetParam(), &info);
  EXPECT_EQ(type_of(dump, "::Table").objects, 1u);
  EXPECT_EQ(type_of(dump, "::Link").objects, 1000u);
  EXPECT_EQ(type_of(dump, "::Leaf").objects, 1000u);
  EXPECT_EQ(type_of(dump, "::Link").bytes, 16'000u);
  EXPECT_EQ(type_of(dump, "::Leaf").bytes, 48'000u);
  EXPECT_GE(type_of(dump, "::Link").allocated_objects, 1000u);
  EXPECT_EQ(info.objects, dump.objects() - 1);
  EXPECT_EQ(info.bytes, dump.bytes);
  EXPECT_EQ(info.roots, dump.roots.size());
  EXPECT_GT(info.stopped_ns, 0u);
  const Object t = only_object(dump, "::Table");
  EXPECT_EQ(dump.addresses[t], reinterpret_cast<std::uintptr_t>(table.get()));
  ASSERT_EQ(dump.references.of(t).size(), 1u);
  EXPECT_EQ(dump.references.of(dump.references.of(t)[0]).size(), 10u);
}

TEST_P(HeapDump, KnowsTheHolesThatThreadsAreFilling) {
  // Fewer objects than a hole has, made by this thread: no alloc bits yet.
  root<Link> first = chain(3);
  const Dump dump = take_dump(GetParam());
  EXPECT_EQ(type_of(dump, "::Link").objects, 3u);
  EXPECT_EQ(type_of(dump, "::Link").allocated_objects, 3u);
}

TEST(HeapDumpRoots, AreNamed) {
  root<Leaf> cell = make<Leaf>();
  std::atomic<int> stage{0};
  std::thread holder([&] {
    ptr<Untraced> held = make<Untraced>();
    stage = 1;
    {
      blocking_region waiting;
      while (stage != 2) std::this_thread::yield();
    }
    EXPECT_TRUE(held);
  });
  {
    blocking_region waiting;
    while (stage != 1) std::this_thread::yield();
  }
  Heap heap(take_dump());
  stage = 2;
  {
    blocking_region joining;
    holder.join();
  }
  bool in_cell = false, on_stack = false;
  for (const Root& r : heap.dump().roots) {
    in_cell |= r.kind == Root::Kind::cell && heap.dump().type_name(r.object).ends_with("::Leaf");
    on_stack |= r.kind == Root::Kind::stack && heap.dump().type_name(r.object).ends_with("::Untraced");
  }
  EXPECT_TRUE(in_cell);
  EXPECT_TRUE(on_stack);
  std::ostringstream out;
  print_retainers(heap, type_of(heap.dump(), "::Untraced").name, 5, out);
  EXPECT_NE(out.str().find("stack of thread"), std::string::npos) << out.str();
}

TEST(HeapDumpRoots, AreWhatRootFunctionsName) {
  static ptr<Untraced> named;
  named = make<Untraced>();
  const gc::RootFunction name = [](void*, tracer& t) { t(named); };
  ASSERT_TRUE(gc::add_root_function(name, nullptr));
  const Dump dump = take_dump();
  gc::remove_root_function(name, nullptr);
  bool found = false;
  for (const Root& r : dump.roots) found |= r.kind == Root::Kind::function && dump.type_name(r.object).ends_with("::Untraced");
  EXPECT_TRUE(found);
}

TEST(HeapDumpRoots, HoldQueuedDestructorsAndCallbacks) {
  elsewhere([] {
    on_unreachable(make<Leaf>(), [kept = make<Untraced>()] { static_cast<void>(kept); });
    make<Closes>()->leaf = make<Leaf>();
  });
  // With LULL_FINALIZERS=manual nobody runs them.
  collect();
  const Dump dump = take_dump();
  bool destructor = false;
  for (const Root& r : dump.roots) destructor |= r.kind == Root::Kind::destructor;
  EXPECT_TRUE(destructor);
  EXPECT_EQ(type_of(dump, "::Closes").objects, 1u);
  EXPECT_EQ(type_of(dump, "::Untraced").objects, 1u);
}

TEST(HeapDumpEphemerons, HoldAValueIfTheKeyIsReachable) {
  struct Map {
    ephemeron_map<Link, Leaf> entries;
    void trace(tracer& t) const { t(entries); }
  };
  root<Map> map;
  root<Link> key;
  elsewhere([&] {
    map = make<Map>();
    key = make<Link>();
    map->entries.insert_or_assign(ptr<Link>(key), make<Leaf>());
    map->entries.insert_or_assign(make<Link>(), make<Leaf>());  // its key is garbage
  });
  Heap heap(take_dump());
  EXPECT_EQ(type_of(heap.dump(), "::Leaf").objects, 1u);
  const Object leaf = only_object(heap.dump(), "::Leaf");
  EXPECT_EQ(heap.retained().dominator[leaf], only_object(heap.dump(), "::Link"));
}

// A consistent moment: a thread moves links from one end of a chain to the other; at no moment is there another number.
TEST_P(HeapDump, ShowsOneMomentWhileThreadsChangeTheHeap) {
  constexpr int kLinks = 200, kThreads = 2;
  root<Link> heads[kThreads];
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (root<Link>& head : heads) {
    elsewhere([&] { head = chain(kLinks); });
    threads.emplace_back([&] {
      while (!stop) {
        ptr<Link> first = head, last = first;
        while (last->next) last = last->next;
        ptr<Link> second = first->next;
        last->next = first;
        head = second;
        first->next = nullptr;
        safepoint();
      }
    });
  }
  for (int i = 0; i < 5; ++i) {
    const Dump dump = take_dump(GetParam());
    EXPECT_EQ(type_of(dump, "::Link").objects, kLinks * kThreads);
    EXPECT_EQ(type_of(dump, "::Leaf").objects, kLinks * kThreads);
  }
  stop = true;
  blocking_region joining;
  for (std::thread& t : threads) t.join();
}

TEST(HeapDumpFile, TellsWhyItCannotBeWritten) {
  attach_thread();
  EXPECT_FALSE(dump_heap("/no/such/folder/dump"));
  EXPECT_EQ(errno, ENOENT);
  const int full = ::open("/dev/full", O_WRONLY);
  if (full < 0) GTEST_SKIP() << "no /dev/full";
  for (dump_mode mode : {dump_mode::copy, dump_mode::stopped}) {
    EXPECT_FALSE(dump_heap_to(full, mode));
    EXPECT_EQ(errno, ENOSPC);
  }
  ::close(full);
}

TEST(HeapDumpFile, CutOffOrBrokenIsRefused) {
  root<Link> first = chain(5);
  File file;
  ASSERT_TRUE(dump_heap(file.path()));
  std::ifstream in(file.path(), std::ios::binary);
  const std::string whole((std::istreambuf_iterator<char>(in)), {});
  EXPECT_NO_THROW(parse_dump(whole));
  for (std::size_t n = 0; n < whole.size(); ++n) EXPECT_THROW(parse_dump(std::string_view(whole).substr(0, n)), std::runtime_error);
  std::mt19937 random(1);
  for (int i = 0; i < 300; ++i) {
    std::string broken = whole;
    broken[random() % broken.size()] = static_cast<char>(random());
    try {
      parse_dump(broken);
    } catch (const std::exception&) {
    }
  }
}

// Such files made sums of bytes overflow and the roots' objects be those of other references; a text that is no address ended lull-heap
// with "stoull". Found by tests/fuzz/heap_dump.cc.
TEST(HeapDumpFile, WithMoreBytesThanAddressesOrItsRootsBehindItsObjectsIsRefused) {
  const std::string head("lull heap dump 1\n\0\0\0", 20), two_to_the_56("\x80\x80\x80\x80\x80\x80\x80\x80\x01", 9);
  const auto object = [&](const std::string& bytes) { return std::string("O\0\x02", 3) + bytes + std::string(1, '\0'); };
  const std::string root("R\0\0\x01", 4);
  EXPECT_EQ(parse_dump(head + root + object("\x10") + "Z\x01\x10").bytes, 16u);
  EXPECT_THROW(parse_dump(head + object("\x10") + root + "Z\x01\x10"), std::runtime_error);
  EXPECT_EQ(parse_dump(head + object(two_to_the_56) + "Z\x01" + two_to_the_56).bytes, std::uint64_t{1} << 56);
  EXPECT_THROW(parse_dump(head + object(two_to_the_56) + object(two_to_the_56) + object("\x10") + "Z\x03\x10"), std::runtime_error);
}
TEST(HeapDumpFile, ATextThatIsNoAddressIsRefused) {
  const std::string text("lull heap dump 1\n\0\0\0R\0\0\x01O\0\x02\x10\0Z\x01\x10", 32);
  Heap heap(parse_dump(text));
  EXPECT_EQ(heap.find("0x8"), 1u);
  for (const char* wrong : {"0x", "0xg", "0x1 ", "0x11111111111111111"}) EXPECT_THROW(heap.find(wrong), std::runtime_error) << wrong;
}

// Reports.

Dump graph(std::size_t objects, const std::vector<Edge>& edges) {
  Dump dump;
  dump.types = {{"(unknown)"}, {"A"}, {"B"}};
  for (std::size_t i = 0; i <= objects; ++i) {
    dump.addresses.push_back(i * 16);
    dump.sizes.push_back(i == 0 ? 0 : 16);
    dump.types_of.push_back(i == 0 ? 0 : 1 + i % 2);
    if (i != 0) dump.types[1 + i % 2].objects += 1, dump.types[1 + i % 2].bytes += 16;
  }
  dump.bytes = objects * 16;
  dump.references = References(objects + 1, edges);
  for (const Edge& e : edges)
    if (e.from == kRoots) dump.roots.push_back({Root::Kind::cell, 0, e.to});
  return dump;
}

std::vector<bool> reached_without(const Dump& dump, Object removed) {
  std::vector<bool> seen(dump.objects());
  std::vector<Object> todo{kRoots};
  seen[kRoots] = true;
  while (!todo.empty()) {
    const Object o = todo.back();
    todo.pop_back();
    for (Object to : dump.references.of(o))
      if (to != removed && !seen[to]) {
        seen[to] = true;
        todo.push_back(to);
      }
  }
  return seen;
}

TEST(HeapRetained, IsWhatWouldBecomeGarbageWithTheObject) {
  std::mt19937 random(7);
  for (int round = 0; round < 60; ++round) {
    const std::size_t n = 2 + random() % 40;
    std::vector<Edge> edges;
    for (Object o = 1; o <= n; ++o) edges.push_back({static_cast<Object>(random() % o), o});  // all are reachable
    for (std::size_t i = 0; i < n; ++i) edges.push_back({static_cast<Object>(random() % (n + 1)), static_cast<Object>(1 + random() % n)});
    const Dump dump = graph(n, edges);
    const Retained retained = retained_sizes(dump);
    for (Object removed = 1; removed <= n; ++removed) {
      const std::vector<bool> left = reached_without(dump, removed);
      const auto lost = static_cast<std::uint64_t>(std::count(left.begin(), left.end(), false));
      EXPECT_EQ(retained.bytes[removed], lost * 16) << "round " << round << " object " << removed;
    }
  }
}

TEST(HeapRetained, ByTypeCountsNothingTwice) {
  // A -> B -> A -> B: the first A retains all; objects 1, 3 are B, 2, 4 are A.
  const Dump dump = graph(4, {{0, 2}, {2, 1}, {1, 4}, {4, 3}});
  const std::vector<std::uint64_t> bytes = retained_by_type(dump, retained_sizes(dump));
  EXPECT_EQ(bytes[1], 64u);
  EXPECT_EQ(bytes[2], 48u);
}

TEST(HeapPaths, AreShortest) {
  const Dump dump = graph(5, {{0, 1}, {1, 2}, {2, 3}, {3, 5}, {1, 4}, {4, 5}});
  EXPECT_EQ(path_to(shortest_paths(dump), 5), (std::vector<Object>{1, 4, 5}));
}

TEST(HeapSuspects, AreTheOnesThatHoldMuchAlone) {
  root<Table> leaking, small;
  elsewhere([&] {
    leaking = make<Table>();
    leaking->chains = make_array<ptr<Link>>(4);
    for (std::size_t i = 0; i < 4; ++i) leaking->chains[i] = chain(500);
    small = make<Table>();
    small->chains = make_array<ptr<Link>>(1);
    small->chains[0] = chain(10);
  });
  Heap heap(take_dump());
  const std::vector<Suspect> suspects = leak_suspects(heap, 0.5);
  ASSERT_EQ(suspects.size(), 1u);
  EXPECT_EQ(heap.dump().addresses[suspects[0].holder], reinterpret_cast<std::uintptr_t>(leaking.get()));
  EXPECT_TRUE(heap.dump().type_name(suspects[0].accumulation).ends_with("[]"));
  std::ostringstream out;
  print_summary(heap, 10, out);
  EXPECT_NE(out.str().find("suspect 1: "), std::string::npos);
  EXPECT_NE(out.str().find("root cell"), std::string::npos) << out.str();
}

TEST(HeapDifference, NamesTheTypeThatGrew) {
  root<Link> kept;
  elsewhere([&] { kept = chain(10); });
  Heap older(take_dump());
  elsewhere([&] { kept = chain(110); });
  Heap newer(take_dump());
  std::ostringstream out;
  print_difference(older, newer, 10, out);
  EXPECT_NE(out.str().find("+4800 B          +100"), std::string::npos) << out.str();
  EXPECT_NE(out.str().find("+1600 B          +100"), std::string::npos) << out.str();
}

struct LinkCache {
  ptr<LinkCache> next;
  std::uint64_t payload[1000];
  void trace(tracer& t) const { t(next); }
};

// It named who holds a type whose name only began alike, if that one was larger.
TEST(HeapDifference, NamesWhoHoldsTheTypeThatGrewAndNoOther) {
  root<Link> kept;
  root<LinkCache> cache;
  elsewhere([&] { cache = make<LinkCache>(); });
  Heap older(take_dump());
  elsewhere([&] { kept = chain(1); });
  elsewhere([&] { kept->leaf = nullptr; });
  Heap newer(take_dump());
  std::ostringstream out;
  print_difference(older, newer, 10, out);
  EXPECT_NE(out.str().find("Link 0x"), std::string::npos) << out.str();
  EXPECT_EQ(out.str().find("LinkCache 0x"), std::string::npos) << out.str();
  std::ostringstream some;
  const std::string name = type_of(newer.dump(), "::LinkCache").name;
  print_retainers(newer, name.substr(0, name.size() - 2), 10, some);
  EXPECT_NE(some.str().find("LinkCache 0x"), std::string::npos) << some.str();
}

TEST(HeapProgram, FailsWhereItsReportCannotBeWritten) {
  if (::access("/dev/full", W_OK) != 0) GTEST_SKIP() << "no /dev/full";
  const File file;
  root<Link> kept;
  elsewhere([&] { kept = chain(10); });
  ASSERT_TRUE(dump_heap(file.path()));
  const auto status = [&](const char* report, const char* to) {
    return std::system((std::string(LULL_HEAP_PROGRAM " ") + report + ' ' + file.path() + " > " + to + " 2> /dev/null").c_str());
  };
  for (const char* report : {"summary", "top", "folded", "pprof"}) {
    EXPECT_EQ(status(report, "/dev/null"), 0) << report;
    EXPECT_NE(status(report, "/dev/full"), 0) << report;
  }
}

TEST(HeapFolded, AddsUpToTheHeap) {
  root<Link> kept = chain(50);
  Heap heap(take_dump());
  std::ostringstream out;
  print_folded(heap, out);
  std::istringstream lines(out.str());
  std::uint64_t sum = 0;
  for (std::string line; std::getline(lines, line);) sum += std::stoull(line.substr(line.rfind(' ') + 1));
  EXPECT_EQ(sum, heap.dump().bytes);
}

// The Go tools may not be installed; then the profile is only written.
TEST(HeapPprof, IsReadByPprof) {
  root<Table> table;
  elsewhere([&] {
    table = make<Table>();
    table->chains = make_array<ptr<Link>>(4);
    for (std::size_t i = 0; i < 4; ++i) table->chains[i] = chain(500);
  });
  Heap heap(take_dump());
  File file;
  std::ofstream out(file.path(), std::ios::binary);
  print_pprof(heap, out);
  out.close();
  EXPECT_TRUE(out.good());
  if (std::system("go version > /dev/null 2>&1") != 0) GTEST_SKIP() << "go is not installed";
  const std::string command = "go tool pprof -top -cum -unit=B " + std::string(file.path()) + " 2>/dev/null";
  FILE* pipe = ::popen(command.c_str(), "r");
  std::string text(10'000, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), pipe));
  EXPECT_EQ(::pclose(pipe), 0);
  const auto retained = heap.retained().bytes[only_object(heap.dump(), "::Table")];
  const std::size_t row = text.find("::Table");
  ASSERT_NE(row, text.npos) << text;
  EXPECT_NE(text.substr(text.rfind('\n', row), row - text.rfind('\n', row)).find(std::to_string(retained) + "B"), text.npos) << text << retained;
}

}  // namespace
}  // namespace lull::heap_report

int main(int argc, char** argv) {
  ::setenv("LULL_FINALIZERS", "manual", 1);  // before the first object
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}

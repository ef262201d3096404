// lull/concurrent_map.h against std::map, and under threads that read, write and collect at once.
#include "lull/concurrent_map.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "gc/model/options.h"
#include "lull/lull.h"
#include "tests/support/hidden.h"
#include "tests/support/scale.h"

namespace {

using lull::concurrent_map;
using lull::ptr;
using lull::testing::clear_stack_below;
using lull::testing::elsewhere;
using lull::testing::Hidden;
using lull::testing::is_allocated;
using lull::testing::scaled;

struct Object {
  long value = 0;
};

TEST(ConcurrentMap, DoesWhatAMapDoes) {
  std::mt19937 random(1);
  concurrent_map<int, int> m;
  std::map<int, int> model;
  for (int i = 0; i < scaled(100'000); ++i) {
    const int key = static_cast<int>(random() % 2000);
    switch (random() % 4) {
      case 0: ASSERT_EQ(m.insert(key, i), model.emplace(key, i).second); break;
      case 1: ASSERT_EQ(m.insert_or_assign(key, i), model.insert_or_assign(key, i).second); break;
      case 2: ASSERT_EQ(m.erase(key), model.erase(key) == 1); break;
      default: {
        const auto entry = m.find(key);
        const auto expected = model.find(key);
        ASSERT_EQ(static_cast<bool>(entry), expected != model.end());
        ASSERT_EQ(entry ? entry->second : -1, entry ? expected->second : -1);
      }
    }
    ASSERT_EQ(m.size(), model.size());
  }
  std::map<int, int> seen;
  m.for_each([&](const auto& entry) { EXPECT_TRUE(seen.insert(entry).second); });
  EXPECT_EQ(seen, model);
  m.clear();
  EXPECT_TRUE(m.empty());
  EXPECT_FALSE(m.find(1));
}

struct SameHash {
  std::size_t operator()(int) const { return 0; }
};
TEST(ConcurrentMap, KeysThatCollideAreToldApart) {
  concurrent_map<int, int, SameHash> m;
  for (int i = 0; i < 100; ++i) m.insert(i, -i);
  for (int i = 0; i < 100; i += 2) m.erase(i);
  for (int i = 0; i < 100; ++i) ASSERT_EQ(m.contains(i), i % 2 == 1);
  for (int i = 0; i < 100; ++i) m.insert(i, i);
  EXPECT_EQ(m.size(), 100u);
}

// Places of erased entries are used again by other keys, and groups that overflowed are cleaned by a rebuild: a search of a map that
// had many keys in its time, but few at once, must still end, and find what is there.
TEST(ConcurrentMap, ManyKeysInTurnNeedNoMoreRoomThanFewAtOnce) {
  constexpr int kAtOnce = 1100;  // nearly what tables of eight groups take
  const auto key = [](int i) {   // one to one, and so irregular that groups overflow
    auto x = static_cast<unsigned>(i);
    x = (x ^ x >> 16) * 0x7feb352du;
    x = (x ^ x >> 15) * 0x846ca68bu;
    return x ^ x >> 16;
  };
  concurrent_map<unsigned, int> m;
  for (int i = 0; i < scaled(100'000); ++i) {
    ASSERT_TRUE(m.insert(key(i), -i));
    if (i >= kAtOnce) {
      ASSERT_TRUE(m.erase(key(i - kAtOnce)));
    }
    if (i % 64 == 0) {
      ASSERT_FALSE(m.contains(key(i + 1)) || m.contains(key(i - kAtOnce)));
      ASSERT_TRUE(i < 50 || m.find(key(i - 50))->second == 50 - i);
    }
  }
  EXPECT_EQ(m.size(), static_cast<std::size_t>(kAtOnce));
}

// A reader finds a key that is there all the time, whatever else comes and goes in its group and the ones that follow.
TEST(ConcurrentMap, ReadersFindWhatStaysWhileItsNeighboursComeAndGo) {
  concurrent_map<int, int, SameHash> m;
  for (int i = 0; i < 40; ++i) m.insert(i, i);
  std::atomic<bool> stop{false}, wrong{false};
  std::thread writer([&] {
    for (int i = 0; i < scaled(20'000); ++i) {
      const int key = i % 20 * 2;
      m.erase(key), m.insert(i % 3 == 0 ? key : key + 1000, 0), m.erase(key + 1000), m.insert(key, key);
    }
    stop = true;
  });
  while (!stop)
    for (int i = 1; i < 40; i += 2)
      if (const auto entry = m.find(i); !entry || entry->second != i) wrong = true;
  writer.join();
  EXPECT_FALSE(wrong);
}

TEST(ConcurrentMap, UnderStress) {
  lull::gc::options.stress = 1;
  concurrent_map<std::string, ptr<Object>> m;
  for (int i = 0; i < scaled(1000); ++i) {
    const auto object = lull::make<Object>();
    object->value = i;
    m.insert_or_assign(std::to_string(i % 300), object);
    if (i % 5 == 0) m.erase(std::to_string(i / 5));
  }
  lull::gc::options.stress = 0;
  long sum = 0;
  std::size_t seen = 0;
  m.for_each([&](const auto& entry) { sum += entry.second->value % 300 == std::stoi(entry.first), ++seen; });
  EXPECT_EQ(static_cast<std::size_t>(sum), seen);
  EXPECT_EQ(m.size(), seen);
}

// A writer that made a larger table waited for a cycle, which waited for writers that slept until the first was done.
TEST(ConcurrentMap, WritersThatWaitForAnotherOneDelayNoCycle) {
  lull::gc::read_options();
  lull::gc::options.noasync = 1;
  lull::gc::options.stress = 1;
  concurrent_map<int, int> m;
  std::vector<std::thread> writers;
  constexpr int kWriters = 4, kKeys = 3000;
  for (int w = 0; w < kWriters; ++w)
    writers.emplace_back([&m, w] {
      for (int i = 0; i < kKeys; ++i) m.insert(kWriters * i + w, i);
    });
  {
    const lull::blocking_region joining;
    for (std::thread& writer : writers) writer.join();
  }
  lull::gc::options.stress = 0;
  EXPECT_EQ(m.size(), std::size_t{kWriters * kKeys});
}

TEST(ConcurrentMap, AnEntryOutlivesItsErasure) {
  concurrent_map<std::string, std::string> m;
  m.insert("a key that is too long to be inside", "a value that is too long to be inside");
  auto entry = m.find("a key that is too long to be inside");
  m.erase("a key that is too long to be inside");
  for (int i = 0; i < 3; ++i) lull::collect();
  EXPECT_EQ(entry->second, "a value that is too long to be inside");
}

[[gnu::noinline]] Hidden put_object(concurrent_map<int, ptr<Object>>& m, int key) {
  auto object = lull::make<Object>();
  m.insert_or_assign(key, object);
  return Hidden(object.get());
}

TEST(ConcurrentMap, KeepsWhatItsValuesReferToUntilTheyAreErased) {
  concurrent_map<int, ptr<Object>> m;
  Hidden kept, erased, replaced;
  elsewhere([&] {
    for (int i = 0; i < 1000; ++i) put_object(m, i);
    kept = put_object(m, 5000), erased = put_object(m, 5001), replaced = put_object(m, 5002);
  });
  lull::collect();
  EXPECT_TRUE(is_allocated(kept) && is_allocated(erased) && is_allocated(replaced));
  elsewhere([&] {
    m.erase(5001);
    put_object(m, 5002);
  });
  lull::collect();
  EXPECT_TRUE(is_allocated(kept));
  EXPECT_FALSE(is_allocated(erased) || is_allocated(replaced));
}

// Writers own the keys that are equal to their number modulo the number of writers; readers check that what they find belongs
// together. Collections all the time.
TEST(ConcurrentMap, ReadersAndWritersAgreeUnderCollections) {
  constexpr int kWriters = 2, kReaders = 2, kKeys = 512;
  struct Pair {
    int key = 0;
    ptr<int> twice;
  };
  concurrent_map<int, Pair> m;
  std::atomic<bool> stop{false}, wrong{false};
  std::vector<std::thread> threads;
  for (int w = 0; w < kWriters; ++w)
    threads.emplace_back([&, w] {
      std::mt19937 random(static_cast<unsigned>(w));
      std::map<int, bool> mine;
      for (int i = 0; i < scaled(20'000); ++i) {
        const int key = static_cast<int>(random() % (kKeys / kWriters)) * kWriters + w;
        if (random() % 3 == 0) {
          if (m.erase(key) != mine[key]) wrong = true;
          mine[key] = false;
        } else {
          if (m.insert_or_assign(key, Pair{key, lull::make<int>(2 * key)}) == mine[key]) wrong = true;
          mine[key] = true;
        }
      }
      for (const auto& [key, there] : mine)
        if (m.contains(key) != there) wrong = true;
      if (w == 0) stop = true;
    });
  for (int r = 0; r < kReaders; ++r)
    threads.emplace_back([&] {
      for (int i = 0; !stop; i = (i + 7) % kKeys)
        if (const auto entry = m.find(i); entry && (entry->second.key != i || *entry->second.twice != 2 * i)) wrong = true;
    });
  threads.emplace_back([&] {
    while (!stop) lull::collect_young(), lull::collect();
  });
  {
    lull::blocking_region joining;
    for (auto& t : threads) t.join();
  }
  EXPECT_FALSE(wrong);
}

}  // namespace

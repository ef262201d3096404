// lull/object_profile.h: totals against the truth, by type and by site; lifetimes; sites whose objects die young.
#include "lull/object_profile.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <string>
#include <thread>
#include <vector>

#include "gc/report/object_samples.h"
#include "lull/lull.h"
#include "lull/lull_c.h"
#include "tests/support/hidden.h"
#include "tests/support/scale.h"

namespace lull {
namespace {

using testing::elsewhere;
using testing::scaled;

struct Small {
  ptr<Small> next;
  std::uint64_t payload[3];
  void trace(tracer& t) const { t(next); }
};
struct Brief {
  std::uint64_t payload[6];
  void trace(tracer&) const {}
};
struct Mixed {
  std::uint64_t payload[2];
  void trace(tracer&) const {}
};
struct Late {
  std::uint64_t payload[4];
  void trace(tracer&) const {}
};

// Sampling with this mean in the scope; figures count from its beginning.
class Profiled {
 public:
  explicit Profiled(std::size_t mean) : before_(object_profile::read_totals()) { object_profile::start(mean); }
  ~Profiled() { object_profile::stop(); }
  object_profile::totals totals() const {
    const object_profile::totals now = object_profile::read_totals();
    return {now.allocated_objects - before_.allocated_objects, now.allocated_bytes - before_.allocated_bytes, now.live_objects - before_.live_objects,
            now.live_bytes - before_.live_bytes, now.samples - before_.samples, now.sites - before_.sites};
  }

 private:
  object_profile::totals before_;
};

// Summed over the sites of a type.
struct OfType {
  double allocated = 0, freed = 0, samples = 0, died = 0, survivors = 0;
  std::uint64_t died_young_bytes = 0, died_old_bytes = 0;
};
OfType of_type(std::string_view type) {
  OfType sum;
  gc::for_each_site([&](const gc::Site& s) {
    if (s.kind->name.find(type) == std::string_view::npos) return;
    sum.allocated += static_cast<double>(s.allocated_bytes.load());
    sum.freed += static_cast<double>(s.freed_bytes.load());
    sum.samples += static_cast<double>(s.samples.load());
    sum.died += static_cast<double>(s.died.load());
    sum.survivors += static_cast<double>(s.survivors.load());
    for (unsigned l = 0; l < gc::kLifetimes; ++l)
      for (unsigned c = 0; c < gc::kSurvivals; ++c) (c == 0 ? sum.died_young_bytes : sum.died_old_bytes) += s.deaths[l][c].bytes.load();
  });
  return sum;
}

std::string text_of(auto&& write) {
  std::string text;
  write(text_sink{[](void* to, const char* at, std::size_t n) { static_cast<std::string*>(to)->append(at, n); }, &text});
  return text;
}

void expect_near(double truth, double estimate, double tolerance, const char* what) {
  EXPECT_NEAR(1, estimate / truth, tolerance) << what << ": " << estimate << " instead of " << truth;
}

// A million objects of several sizes, arrays among them, with collections in between; some are kept. With 4 KiB between samples and
// 60 MB the standard deviation of the bytes is below 1 %.
TEST(ObjectProfile, TotalsAreNearTheTruth) {
  const int rounds = scaled(1'000'000);
  const double more = std::sqrt(1'000'000.0 / rounds);
  root<ptr<Small>[]> kept;
  elsewhere([&] { kept = make_array<ptr<Small>>(static_cast<std::size_t>(rounds) / 20 + 1); });
  Profiled profiled(4096);
  double bytes = 0, live = 0;
  elsewhere([&] {
    for (int i = 0; i < rounds; ++i) {
      if (i % 20 == 0) {
        kept[static_cast<std::size_t>(i / 20)] = make<Small>();
        live += 32;
        bytes += 32;
      } else if (i % 3 == 0) {
        make<Brief>();
        bytes += 48;
      } else {
        make_array<std::uint64_t>(5);  // 8 + 40 + 1: a slot of 64
        bytes += 64;
      }
    }
  });
  const object_profile::totals t = profiled.totals();
  expect_near(bytes, static_cast<double>(t.allocated_bytes), 0.05 * more, "allocated bytes");
  expect_near(rounds, static_cast<double>(t.allocated_objects), 0.05 * more, "allocated objects");
  elsewhere([] { collect(); });
  elsewhere([] { collect(); });
  expect_near(live, static_cast<double>(profiled.totals().live_bytes), 0.25 * more, "live bytes");  // 400 samples
}

TEST(ObjectProfile, NothingIsLiveWhenAllIsGarbage) {
  Profiled profiled(256);
  elsewhere([] {
    for (int i = 0; i < 10'000; ++i) make<Small>();
  });
  EXPECT_GT(profiled.totals().live_bytes, 100'000u);
  elsewhere([] { collect(); });
  elsewhere([] { collect(); });
  EXPECT_LT(profiled.totals().live_bytes, 10'000u);  // stale words on a stack may hold a few
}

// Slots that are handed out and go back at handshake 3 without having been used must not count: here five of six, as a sample comes
// once in 64 objects and ten are made between two cycles.
TEST(ObjectProfile, WhatNobodyTakesOfAHoleIsNotCounted) {
  constexpr int kCycles = 600;
  const double before = of_type("Mixed").allocated;
  Profiled profiled(1024);
  elsewhere([] {
    for (int cycle = 0; cycle < kCycles; ++cycle) {
      for (int i = 0; i < 10; ++i) make<Mixed>();
      collect();
    }
  });
  expect_near(kCycles * 10 * 16, of_type("Mixed").allocated - before, 0.6, "bytes");  // 94 samples; six standard deviations
}

[[gnu::noinline]] void brief_site() {
  make<Brief>();
  asm volatile("" ::: "memory");
}
[[gnu::noinline]] void late_site(root<ptr<Late>[]>& ring, std::size_t i) { ring[i % ring.size()] = make<Late>(); }

// A site whose objects die at once and one whose objects live for some cycles.
TEST(ObjectProfile, KnowsHowLongObjectsLive) {
  const OfType brief_before = of_type("Brief");
  root<ptr<Late>[]> ring;
  elsewhere([&] { ring = make_array<ptr<Late>>(3000); });
  {
    Profiled profiled(2048);
    elsewhere([&] {
      for (std::size_t i = 0; i < 30'000; ++i) {
        brief_site();
        late_site(ring, i);
        if (i % 1000 == 0) collect();
      }
      collect();
    });
  }
  const OfType brief = of_type("Brief"), late = of_type("Late");
  const auto young = static_cast<double>(brief.died_young_bytes - brief_before.died_young_bytes);
  expect_near(30'000 * 48, young, 0.25, "bytes of Brief that died young");  // 700 samples; a stale word may keep one
  EXPECT_LE(brief.died_old_bytes - brief_before.died_old_bytes, 10u * 4096);
  EXPECT_GT(late.survivors, 0.8 * late.samples);
  EXPECT_GT(late.died_old_bytes, 10 * late.died_young_bytes);
  EXPECT_GT(late.died, 0.5 * late.samples);

  const std::string table = text_of([](const text_sink& to) { EXPECT_TRUE(object_profile::write_short_lived(to)); });
  EXPECT_NE(std::string::npos, table.find("Brief")) << table;
  EXPECT_EQ(std::string::npos, table.find("Late")) << table;
  const std::string line = table.substr(table.rfind('\n', table.find("brief_site")) + 1);
  EXPECT_NE(std::string::npos, line.substr(0, line.find('\n')).find("Brief")) << table;
}

TEST(ObjectProfile, FoldedStacksNameTheFunctionsAndEndWithTheType) {
  Profiled profiled(1);
  elsewhere([] { brief_site(); });
  const std::string text = text_of([](const text_sink& to) { EXPECT_TRUE(object_profile::write_folded(to, object_profile::measure::allocated_objects)); });
  bool found = false;
  for (std::size_t at = 0, end; at < text.size(); at = end + 1) {
    end = text.find('\n', at);
    const std::string line = text.substr(at, end - at);
    EXPECT_NE(std::string::npos, line.rfind("] ")) << line;
    const std::size_t site = line.find("brief_site");
    found |= site != line.npos && line.find(';', site) < line.find("Brief] ") && line.find("lull2gc", site) == line.npos;
  }
  EXPECT_TRUE(found) << text.substr(0, 4000);
}

// A program in C may name its kinds as it likes.
TEST(ObjectProfile, ASemicolonInANameIsNoEndOfAFrame) {
  static lull_kind kind;
  lull_kind_info info = {};
  info.name = "cons; of two";
  info.bytes = 16;
  info.scan = LULL_NO_POINTERS;
  ASSERT_EQ(0, lull_kind_init(&kind, &info));
  Profiled profiled(1);
  elsewhere([] { static_cast<void>(lull_new(&kind)); });
  const std::string text = text_of([](const text_sink& to) { EXPECT_TRUE(object_profile::write_folded(to, object_profile::measure::allocated_objects)); });
  EXPECT_NE(std::string::npos, text.find(";[cons: of two] 1\n")) << text.substr(0, 4000);
}

TEST(ObjectProfile, FoldedStacksOfTheLivingNameNoDeadOnes) {
  static root<Late> late;
  Profiled profiled(1);
  elsewhere([] { brief_site(); });
  elsewhere([] { late = make<Late>(); });
  collect();
  const auto folded = [](object_profile::measure what) {
    return text_of([=](const text_sink& to) { EXPECT_TRUE(object_profile::write_folded(to, what)); });
  };
  for (const auto what : {object_profile::measure::live_objects, object_profile::measure::live_bytes}) {
    const std::string text = folded(what);
    EXPECT_NE(std::string::npos, text.find("Late] ")) << text.substr(0, 4000);
    EXPECT_EQ(std::string::npos, text.find("Brief] ")) << text.substr(0, 4000);
  }
  late = nullptr;
}

TEST(ObjectProfile, LargeObjectsAreSampledByTheirSize) {
  Profiled profiled(1 << 20);
  elsewhere([] {
    for (int i = 0; i < 2000; ++i) make_array<char>(100'000);
  });
  expect_near(2000 * 106'496.0, static_cast<double>(profiled.totals().allocated_bytes), 0.4, "bytes");  // 200 samples
}

// Starting, stopping and other means while threads allocate and cycles run; each sample is in one list and dies once.
TEST(ObjectProfile, MayStartAndStopAtAnyTime) {
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t)
    threads.emplace_back([&] {
      ptr<Small> list;
      for (int i = 0; !stop; ++i) {
        ptr<Small> node = make<Small>();
        if (i % 100 != 0) node->next = list;
        list = node;
      }
    });
  for (int i = 0; i < 40; ++i) {
    object_profile::start(std::size_t{64} << (i % 8));
    collect();
    if (i % 3 == 0) object_profile::stop();
  }
  stop = true;
  {
    blocking_region joining;
    for (std::thread& t : threads) t.join();
  }
  object_profile::stop();
  const OfType small = of_type("Small");
  EXPECT_GT(small.samples, 1000);
  EXPECT_LE(small.died, small.samples);
  EXPECT_LE(small.freed, small.allocated);
  elsewhere([] { collect(); });
  elsewhere([] { collect(); });
  EXPECT_GT(of_type("Small").died, 0.99 * small.samples - 100);
}

TEST(ObjectProfile, BucketsOfLifetimesAndSurvivals) {
  EXPECT_EQ(0u, gc::lifetime_bucket(0));
  EXPECT_EQ(0u, gc::lifetime_bucket(1 << 20));
  EXPECT_EQ(1u, gc::lifetime_bucket((1 << 20) + 1));
  EXPECT_EQ(1u, gc::lifetime_bucket(4 << 20));
  EXPECT_EQ(2u, gc::lifetime_bucket((4 << 20) + 1));
  EXPECT_EQ(6u, gc::lifetime_bucket(std::uint64_t{4} << 30));
  EXPECT_EQ(7u, gc::lifetime_bucket((std::uint64_t{4} << 30) + 1));
  EXPECT_EQ(7u, gc::lifetime_bucket(~std::uint64_t{0}));
  EXPECT_EQ(1u, gc::survival_bucket(1));
  EXPECT_EQ(2u, gc::survival_bucket(3));
  EXPECT_EQ(3u, gc::survival_bucket(4));
}

}  // namespace
}  // namespace lull

// Libraries with types of managed objects, unloaded: lull/library.h.
#include "lull/library.h"

#include <gtest/gtest.h>

#include <string>

#include "gc/cycle/driver.h"
#include "gc/model/kinds.h"
#include "gc/model/options.h"
#include "lull/lull_c.h"
#include "tests/support/plugin.h"

namespace {

using lull::testing::clear_stack_below;
using lull::testing::elsewhere;
using lull::testing::Hidden;
using lull::testing::is_allocated;
using lull::testing::Plugin;

class Unloading : public testing::Test {
 protected:
  void SetUp() override {
    lull::gc::read_options();
    lull::gc::options.scribble = 1;
    lull::set_gc_percent(-1);
    lull::attach_thread();
    if (lull::gc::unloadable_code_at(::dlsym(RTLD_DEFAULT, "dlclose")).end == 0) GTEST_SKIP() << "the C library does not tell what is loaded";
  }
};

const void* some_object() {
  static lull::root<int> object = lull::make<int>(7);
  return object.get();
}

TEST_F(Unloading, WaitsUntilTheLibraryHoldsNothing) {
  Plugin plugin;
  elsewhere([&] { plugin->hold(some_object()); });
  const lull::library_use held = lull::close_library(plugin.handle());
  EXPECT_EQ(held.objects, 1u);
  EXPECT_NE(held.type.find("Part"), held.type.npos) << held.type;
  EXPECT_EQ(plugin->target(), some_object());  // it is still loaded, and whole
  plugin.drop();
  EXPECT_EQ(plugin.close(), 0u);
  EXPECT_FALSE(plugin.is_loaded());
  lull::collect();
  EXPECT_NE(held.type.find("Part"), held.type.npos) << "the name stays";
}

TEST_F(Unloading, CountsArraysAndLargeObjectsAndThoseWithoutTrace) {
  Plugin plugin;
  elsewhere([&] { plugin->hold_many(some_object()); });
  EXPECT_EQ(plugin.close(), 3u);
  plugin.drop();
  EXPECT_EQ(plugin.close(), 0u);
}

TEST_F(Unloading, RunsDestructorsFirst) {
  int destroyed = 0;
  Plugin plugin;
  elsewhere([&] { plugin->hold_destroyed(&destroyed); });
  plugin.drop();
  EXPECT_EQ(plugin.close(), 0u);
  EXPECT_EQ(destroyed, 1);
  EXPECT_FALSE(plugin.is_loaded());
  lull::collect();
}

TEST_F(Unloading, RunsDestructorsItselfWhereTheProgramDoes) {
  lull::gc::options.manual_finalizers = 1;
  int destroyed = 0;
  Plugin plugin;
  elsewhere([&] { plugin->hold_destroyed(&destroyed); });
  plugin.drop();
  EXPECT_EQ(plugin.close(), 0u);
  EXPECT_EQ(destroyed, 1);
  lull::gc::options.manual_finalizers = 0;
}

// Classes count what lies in the hole that another thread is filling when it has left the hole.
TEST_F(Unloading, SeesWhatAThreadHasJustAllocated) {
  Plugin plugin;
  std::atomic<bool> holds{false}, ends{false};
  std::thread other([&] {
    plugin->hold(nullptr);
    holds = true;
    lull::blocking_region waiting;
    while (!ends) std::this_thread::yield();
  });
  while (!holds) std::this_thread::yield();
  EXPECT_EQ(plugin.close(), 1u);
  ends = true;
  {
    lull::blocking_region joining;
    other.join();
  }
}

// Once there was a record, and a class with a number of its own, for each time that a library was loaded: after 8,191 of them the
// process was stopped.
TEST_F(Unloading, ALibraryThatComesAgainTakesOverItsRecords) {
  std::uint32_t after_first = 0;
  for (int i = 0; i < 5; ++i) {
    Plugin plugin;
    elsewhere([&] {
      plugin->hold(some_object());
      plugin->hold_many(some_object());
    });
    lull::collect();
    EXPECT_EQ(plugin->target(), some_object());
    plugin.drop();
    ASSERT_EQ(plugin.close(), 0u);
    ASSERT_FALSE(plugin.is_loaded());
    if (i == 0) after_first = lull::gc::registered_kinds();
  }
  EXPECT_EQ(lull::gc::registered_kinds(), after_first);
}

// What the objects refer to is found again through functions of the library as it is now, wherever it lies.
TEST_F(Unloading, ALibraryThatComesAgainIsTraced) {
  for (int i = 0; i < 3; ++i) {
    Plugin plugin;
    Hidden target;
    elsewhere([&] {
      const auto object = lull::make<int>(i);
      target = Hidden(object.get());
      plugin->hold(object.get());
    });
    lull::collect();
    EXPECT_TRUE(is_allocated(target));
    plugin.drop();
    lull::collect();
    EXPECT_FALSE(is_allocated(target));
    ASSERT_EQ(plugin.close(), 0u);
  }
}

// The C library keeps it, whatever is closed: then its kinds must stay what they are.
TEST_F(Unloading, ALibraryThatStaysLoadedStaysUsable) {
  for (int i = 0; i < 2; ++i) {
    Plugin plugin(LULL_TEST_PLUGIN_KEPT);
    Hidden target;
    elsewhere([&] {
      const auto object = lull::make<int>(i);
      target = Hidden(object.get());
      plugin->hold(object.get());
    });
    lull::collect();
    EXPECT_TRUE(is_allocated(target));
    plugin.drop();
    EXPECT_EQ(plugin.close(), 0u);
    EXPECT_TRUE(plugin.is_loaded());
  }
}

TEST_F(Unloading, IsDlcloseForALibraryThatAllocatedNothing) {
  Plugin plugin;
  EXPECT_EQ(plugin.close(), 0u);
  EXPECT_FALSE(plugin.is_loaded());
}

// The first look at the type after dlclose() was one at memory that was gone: each full cycle sums up what every type has.
TEST_F(Unloading, ReportsNameTypesOfLibrariesThatAreGone) {
  Plugin plugin;
  elsewhere([&] { plugin->hold(some_object()); });
  plugin.drop();
  ASSERT_EQ(plugin.close(), 0u);
  lull::collect();
  lull::mem_stats stats = lull::read_mem_stats();
  EXPECT_GT(stats.num_gc, 0u);
  bool named = false;
  for (const lull::gc::SpanClass* c = lull::gc::first_class(); c != nullptr; c = c->next)
    named |= lull::gc::record_of(*c)->kind->name.find("Part") != std::string_view::npos;
  EXPECT_TRUE(named);
}

TEST_F(Unloading, DlcloseWithObjectsLeftStopsTheProcessInTheNextCycle) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        Plugin plugin;
        elsewhere([&] { plugin->hold_many(some_object()); });
        lull::collect();  // what the thread has allocated is counted
        plugin.close_without_lull();
        lull::collect();
      },
      "the library of type '.*' has been unloaded, and there (are|is) still");
}

TEST_F(Unloading, FromC) {
  Plugin plugin;
  elsewhere([&] { plugin->hold(some_object()); });
  const char* type = nullptr;
  EXPECT_EQ(lull_close_library(plugin.handle(), &type), 1u);
  EXPECT_NE(std::string(type).find("Part"), std::string::npos);
  plugin.drop();
}

}  // namespace

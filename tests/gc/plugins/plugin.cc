// A library with types of its own, so that nothing but it knows what their objects refer to. The types are local, or else gcc would make their
// kinds unique in the process, and the C library would never unload the plugin.
#include "tests/gc/plugins/plugin.h"

namespace {

using lull::testing::PluginFunctions;

struct Part {
  lull::ptr<const char> target;
  void trace(lull::tracer& t) const { t(target); }
};
struct Unknown {
  lull::ptr<const char> target;
};
struct Destroyed {
  lull::ptr<Part> part;
  int* count = nullptr;
  void trace(lull::tracer& t) const { t(part); }
  ~Destroyed() { ++*count; }
};

// Their destructors run in dlclose().
lull::root<Part> part;
lull::root<Part[]> few, many;
lull::root<Unknown> unknown;
lull::root<Destroyed> destroyed;
lull::root<const char> of_others;

lull::ptr<const char> as_target(const void* address) { return lull::ptr<const char>(static_cast<const char*>(address)); }

[[gnu::noinline]] void hold(const void* target) {
  part = lull::make<Part>();
  part->target = as_target(target);
}

[[gnu::noinline]] void hold_many(const void* target) {
  few = lull::make_array<Part>(3);
  few[2].target = as_target(target);
  many = lull::make_array<Part>(10'000);
  many[9'999].target = as_target(target);
  unknown = lull::make<Unknown>();
  unknown->target = as_target(target);
}

[[gnu::noinline]] void hold_destroyed(int* count) {
  destroyed = lull::make<Destroyed>();
  destroyed->part = lull::make<Part>();
  destroyed->count = count;
}

[[gnu::noinline]] void hold_of_others(const void* target) { of_others = as_target(target); }

[[gnu::noinline]] const void* find_target() { return part->target.get(); }

void drop() {
  part = nullptr;
  few = nullptr;
  many = nullptr;
  unknown = nullptr;
  destroyed = nullptr;
}

}  // namespace

extern "C" __attribute__((visibility("default"))) const PluginFunctions plugin_functions;
const PluginFunctions plugin_functions = {hold, hold_many, hold_destroyed, hold_of_others, find_target, drop};

// A program whose profile of objects is known: check_object_profile.py runs it. Prints what planted_site allocated, what of it is left,
// and what lesser_site allocated.
#include <cstdio>

#include "lull/lull.h"

namespace {

struct Planted {
  lull::ptr<Planted> next;
  char payload[88];
  void trace(lull::tracer& t) const { t(next); }
};
struct Lesser {
  char payload[48];
};

[[gnu::noinline]] lull::ptr<Planted> planted_site() { return lull::make<Planted>(); }
[[gnu::noinline]] lull::ptr<Lesser> lesser_site() { return lull::make<Lesser>(); }

}  // namespace

int main() {
  constexpr int kObjects = 1'000'000;
  std::size_t live = 0, lesser = 0;
  lull::ptr<Planted> kept;
  for (int i = 0; i < kObjects; ++i) {
    lull::ptr<Planted> fresh = planted_site();
    if (i % 4 == 0) {
      fresh->next = kept;
      kept = fresh;
      live += 96;
    }
    if (i % 4 == 1) {
      lesser_site();
      lesser += 48;
    }
  }
  lull::collect();
  lull::collect();
  std::printf("%zu %zu %zu\n", std::size_t{kObjects} * 96, live, lesser);
  return kept == nullptr;
}

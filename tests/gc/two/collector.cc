// A library with a collector of its own, linked statically.
#include "lull/lull.h"

namespace {
struct Node {
  lull::ptr<Node> next;
  void trace(lull::tracer& t) const { t(next); }
};
}  // namespace

extern "C" int use_collector() {
  lull::root<Node> list;
  for (int i = 0; i < 1000; ++i) {
    const lull::ptr<Node> node = lull::make<Node>();
    node->next = list;
    list = node;
  }
  lull::collect();
  int length = 0;
  for (lull::ptr<Node> node = list; node; node = node->next) ++length;
  return length;
}

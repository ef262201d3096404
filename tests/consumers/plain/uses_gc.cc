// A program of somebody else: the whole interface is included, a list is built, collected and walked.
#include <lull/lull.h>

#include <cstdio>

struct Node {
  lull::ptr<Node> next;
  int value = 0;
  void trace(lull::tracer& t) const { t(next); }
};

lull::root<Node> head;

int main() {
  for (int i = 0; i < 100'000; ++i) {
    lull::ptr<Node> node = lull::make<Node>();
    node->value = i;
    node->next = i % 1000 == 0 ? lull::ptr<Node>() : head.load();
    head = node;
  }
  lull::collect();
  int length = 0;
  for (Node* n = head.get(); n != nullptr; n = n->next.get()) ++length;
  lull::arena arena;
  const bool fine = length == 1000 && *arena.make<int>(7) == 7 && lull::read_mem_stats().num_gc > 0;
  std::puts(fine ? "fine" : "wrong");
  return fine ? 0 : 1;
}

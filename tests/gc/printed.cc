// What check_gdb.py looks at in the debugger: one of everything that tools/gdb/lull.py prints.
#include <cstdio>

#include "lull/containers.h"
#include "lull/lull.h"

struct Node {
  lull::ptr<Node> next;
  int value = 0;
  void trace(lull::tracer& t) const { t(next); }
};
struct Plain {
  int number = 7;
};

lull::root<Node> kept;
lull::root<Node> empty_root;

[[gnu::noinline]] void stop_here() { asm volatile("" ::: "memory"); }

int main() {
  lull::ptr<Node> node = lull::make<Node>();
  node->value = 42;
  node->next = lull::make<Node>();
  node->next->value = 43;
  kept = node;
  lull::ptr<Node> empty;
  lull::ptr<int[]> array = lull::make_array<int>(3);
  array[0] = 10, array[1] = 11, array[2] = 12;
  lull::weak_ptr<Node> weak = node, expired;
  lull::vector<int> numbers{1, 2, 3};
  lull::string brief = "short", lengthy = "a string that does not fit into its own object at all";
  lull::map<int, lull::string> ordered;
  lull::unordered_map<int, int> hashed;
  for (int i = 1; i <= 3; ++i) ordered[i] = "v", hashed[i] = i * 10;
  lull::arena arena;
  arena.make<Plain>();
  lull::collect();  // what is kept is old now
  lull::ptr<Node> fresh = lull::make<Node>();
  stop_here();
  std::printf("%zu\n", brief.size() + lengthy.size() + ordered.size() + hashed.size() + numbers.size());
  return empty || empty_root || fresh->value != 0 || array[0] != 10 || expired.expired() == weak.expired();
}

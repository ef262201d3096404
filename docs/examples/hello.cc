#include <cstdio>
#include <thread>

#include <lull/lull.h>

struct Person {
  explicit Person(const char* person_name) : name(person_name) {}
  ~Person() { std::printf("%s is gone\n", name); }
  void trace(lull::tracer& t) const { t(friend_of); }  // optional: without it the object is scanned conservatively

  const char* name;
  lull::ptr<Person> friend_of;
};

lull::root<Person> keep;                  // globals, thread_locals and malloc memory take a root
lull::root<lull::weak_ptr<Person>> bobs;  // a weak_ptr lives where a ptr does, so this one is a managed object

void meet() {
  lull::ptr<Person> ann = lull::make<Person>("Ann"), bob = lull::make<Person>("Bob");
  ann->friend_of = bob;  // a cycle: reference counts would never reach zero
  bob->friend_of = ann;
  keep = ann;
  bobs = lull::make<lull::weak_ptr<Person>>(bob);
}

void greet() { std::printf("hello %s\n", bobs->lock()->name); }

void part() { keep = nullptr; }

int main() {
  std::thread(meet).join();  // threads attach by themselves; main's own stack never sees an address
  std::thread(greet).join();
  std::thread(part).join();
  lull::collect();
  lull::wait_for_finalizers();
  const lull::mem_stats stats = lull::read_mem_stats();
  std::printf("Bob is %s\n", bobs->expired() ? "unreachable" : "still here");
  std::printf("cycles: %u, stops of the world: %u\n", stats.num_gc, unsigned(stats.global_stops));
}

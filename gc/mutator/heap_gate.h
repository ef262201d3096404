// The heap's spans are whole when a process forks, for a child that goes on with the spans of threads that are gone: what they change
// outside of cycles (holes opened; objects of a span noted, then the span put into a set; spans made and taken; destructors
// registered and taken) they change in visits, and a fork waits until none is under way and lets none begin. Why single atomic steps are not enough, and how the gate works:
// alloc/front/fork_gate.h, which is the same for malloc. This one needs no locked instruction: the flag is the thread's own.
//
// A visitor holds no lock when it begins, and takes none of those that a fork takes before it closes the gate (gc/cycle/fork.cc): it has a rank among the locks, which debug builds check.
#pragma once

#include "gc/mutator/mutator.h"

namespace lull::gc {

class [[nodiscard]] HeapVisit {
 public:
  explicit HeapVisit(Mutator& m) : m_(m) { enter(); }
  ~HeapVisit() { leave(); }
  HeapVisit(const HeapVisit&) = delete;
  HeapVisit& operator=(const HeapVisit&) = delete;

 private:
  void enter();
  void leave();
  void take_back();
  Mutator& m_;
};

// The forking thread, which holds the cycle gate and the mutators' lock. Returns when nobody else visits.
void close_heap_gate_locked();
// Before those two are given up: the next fork closes the gate only then.
void open_heap_gate();

}  // namespace lull::gc

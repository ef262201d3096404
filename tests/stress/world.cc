#include "tests/stress/world.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>

namespace lull::stress {

World& world = *new World;

void fault(const char* format, ...) {
  std::fprintf(stderr, "FAULT: ");
  va_list arguments;
  va_start(arguments, format);
  std::vfprintf(stderr, format, arguments);
  va_end(arguments);
  std::fprintf(stderr, "\n");
  std::abort();
}

namespace {

void expect_words(const std::uint64_t* words, std::size_t n, Id id) {
  for (std::size_t i = 0; i < n; ++i)
    if (words[i] != pattern(id, i)) fault("object %llu: word %zu of %zu is %llx", static_cast<unsigned long long>(id), i, n, static_cast<unsigned long long>(words[i]));
}

}  // namespace

void meet(const Held& held) {
  if (!held) return;
  world.met.fetch_add(1, std::memory_order_relaxed);
  if (held.p->id != held.id || !held.p->is_whole())
    fault("object %llu at %p was scribbled: number %llx, check %llx", static_cast<unsigned long long>(held.id), static_cast<void*>(held.p),
          static_cast<unsigned long long>(held.p->id), static_cast<unsigned long long>(held.p->check));
  Record& r = world.shadow[held.id];
  if (!r.alive.load(std::memory_order_relaxed)) fault("object %llu was met after it had been found dead", static_cast<unsigned long long>(held.id));
  if (r.destroyed.load(std::memory_order_relaxed) != 0) fault("object %llu was met after its destructor", static_cast<unsigned long long>(held.id));
  if (r.callbacks_run.load(std::memory_order_relaxed) != 0) fault("object %llu was met after its callback", static_cast<unsigned long long>(held.id));
}

Held identify(Node* p) {
  if (p == nullptr) return {};
  const Held held{p, p->id};
  if (!p->is_whole() || !world.shadow.is_known(held.id) || world.shadow[held.id].base.as<Node>() != p)
    fault("the object at %p was scribbled: number %llx, check %llx", static_cast<void*>(p), static_cast<unsigned long long>(p->id),
          static_cast<unsigned long long>(p->check));
  meet(held);
  return held;
}

void meet_whole(const Held& held) {
  meet(held);
  if (!held) return;
  const Record& r = world.shadow[held.id];
  if (r.shape == Shape::opaque) expect_words(reinterpret_cast<Opaque*>(held.p)->payload, std::size(reinterpret_cast<Opaque*>(held.p)->payload), held.id);
  if (r.shape == Shape::big) expect_words(static_cast<Big*>(held.p)->payload, std::size(static_cast<Big*>(held.p)->payload), held.id);
  if (r.shape == Shape::bytes) expect_words(static_cast<Bytes*>(held.p)->words.get(), r.words, held.id);
}

ptr<char>& edge_of(const Held& held, std::size_t i) {
  if (i < kOwnEdges) return held.p->edges[i];
  if (world.shadow[held.id].shape == Shape::shelf) return static_cast<Shelf*>(held.p)->more[i - kOwnEdges];
  return static_cast<Table*>(held.p)->more[i - kOwnEdges];
}

char* address_of(const Edge& edge) {
  return edge.target == kNone ? nullptr : world.shadow[edge.target].base.as<char>() + edge.offset;
}

// On the finalizer thread, or in lull::destroy(). What it refers to is there until it returns.
Doomed::~Doomed() {
  if (!is_whole() || !world.shadow.is_known(id)) fault("a destructor ran for an object that was scribbled");
  Record& r = world.shadow[id];
  if (r.destroyed.fetch_add(1) != 0) fault("the destructor of object %llu ran twice", static_cast<unsigned long long>(id));
  for (const ptr<char>& edge : edges) {
    if (!edge) continue;
    const gc::ObjectRef target = gc::resolve(reinterpret_cast<std::uintptr_t>(edge.get()));
    if (!target || !reinterpret_cast<Node*>(target.address())->is_whole())
      fault("the destructor of object %llu found a referent that is gone", static_cast<unsigned long long>(id));
  }
}

}  // namespace lull::stress

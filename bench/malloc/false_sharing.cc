// Two threads write to small objects of their own. Fast when no two of them lie in one cache line.
//
//   false_sharing active | passive [threads = 2] [objects a thread = 4000000] [writes to an object = 1000]
//
// active: an allocator that hands neighbouring cells to different threads causes the sharing. passive: the
// main thread makes neighbours and gives one to each thread, which frees it and goes on with objects of its
// own; an allocator that gives the freed cell back to the thread that freed it passes the sharing on.

#include <thread>
#include <vector>

#include "bench/malloc/object.h"

namespace {

constexpr std::size_t kBytes = 16;

void write_to(bench::Object* object, std::size_t writes) {
  auto* byte = reinterpret_cast<volatile char*>(object) + sizeof(bench::Object);  // neither size nor mark
  for (std::size_t i = 0; i < writes; ++i) *byte = static_cast<char>(*byte + 1);
}

void work(bench::Object* given, std::size_t objects, std::size_t writes) {
  bench::drop_object(given);
  for (std::size_t i = 0; i < objects; ++i) {
    auto* object = bench::make_object(kBytes);
    write_to(object, writes);
    bench::drop_object(object);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const bench::Arguments arguments(argc, argv);
  const bool is_passive = arguments.word(1, "active") == "passive";
  const std::size_t threads = arguments.number(2, 2);
  const std::size_t objects = arguments.number(3, 4'000'000);
  const std::size_t writes = arguments.number(4, 1000);
  std::vector<bench::Object*> given(threads);
  if (is_passive) {
    for (auto& object : given) object = bench::make_object(kBytes);
  }
  std::vector<std::thread> running;
  for (auto* object : given) running.emplace_back(work, object, objects, writes);
  for (auto& thread : running) thread.join();
  bench::print_check(threads * objects, threads * objects);
}

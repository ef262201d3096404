// Small objects that die at once: nanoseconds for one, the collector's share included.
//
//   small_objects_MEMORY [bytes = 32] [linked | plain] [millions = 50] [threads = 1]
//
// With several threads each makes so many while main, which has made objects before, waits for them in a system call: cycles come often, and each
// has to do with a thread that does not poll. ns is the clock's by the objects of one.
// A linked object has a pointer (null) and a payload that its constructor leaves alone; a plain one is an array of zeroes
// without pointers. bytes: 16, 32, 64 or 256. Each object's address goes to an empty asm statement, so the compiler has
// to make it. The live heap is empty, so this is the cost of allocating, sweeping and starting cycles, not of marking.

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include BENCH_MEMORY

namespace {

using bench::Memory;

template <std::size_t Bytes>
struct Linked {
  explicit Linked(std::uint64_t n) noexcept : next(nullptr), number(n) {}
  template <class Tracer>
  void trace(Tracer& t) const { t(next); }

  Memory::Field<Linked> next;
  std::uint64_t number;
  std::array<std::uint64_t, (Bytes - sizeof(Memory::Field<Linked>) - 8) / 8> payload;
};

template <std::size_t Bytes>
using Plain = std::array<std::uint64_t, Bytes / 8>;

template <class T, class... Arguments>
void make_and_drop(Arguments... arguments) {
  auto object = Memory::make<T>(arguments...);
  asm volatile("" ::"r"(&*object) : "memory");
  Memory::free(object);
}

template <std::size_t Bytes>
void make_all(bool linked, std::uint64_t objects) {
  if (linked) {
    for (std::uint64_t i = 0; i < objects; ++i) make_and_drop<Linked<Bytes>>(i);
  } else {
    for (std::uint64_t i = 0; i < objects; ++i) make_and_drop<Plain<Bytes>>();
  }
}

void make_all(int bytes, bool linked, std::uint64_t objects) {
  switch (bytes) {
    case 16: return make_all<16>(linked, objects);
    case 32: return make_all<32>(linked, objects);
    case 64: return make_all<64>(linked, objects);
    case 256: return make_all<256>(linked, objects);
  }
  std::fputs("small_objects: bytes are 16, 32, 64 or 256\n", stderr);
  std::exit(2);
}

void make_all_on(unsigned threads, int bytes, bool linked, std::uint64_t objects) {
  if (threads == 1) return make_all(bytes, linked, objects);
  std::vector<std::thread> running;
  for (unsigned t = 0; t < threads; ++t)
    running.emplace_back([=] {
      [[maybe_unused]] const Memory::ThreadScope scope;
      make_all(bytes, linked, objects);
    });
  for (std::thread& thread : running) thread.join();
}

}  // namespace

int main(int argc, char** argv) {
  const int bytes = argc > 1 ? std::stoi(argv[1]) : 32;
  const std::string_view kind = argc > 2 ? argv[2] : "linked";
  const std::uint64_t objects = 1'000'000 * (argc > 3 ? std::stoull(argv[3]) : 50);
  const auto threads = static_cast<unsigned>(argc > 4 ? std::stoul(argv[4]) : 1);
  Memory::begin();
  make_all(bytes, kind == "linked", objects / 10);  // warm up
  bench::Report report("small_objects", Memory::name);
  const bench::Stopwatch watch;
  make_all_on(threads, bytes, kind == "linked", objects);
  const double seconds = watch.seconds();
  report.add("bytes", bytes);
  report.add("kind", kind);
  report.add("threads", threads);
  report.add("ns", seconds * 1e9 / static_cast<double>(objects));
  Memory::add_statistics(report);
  report.print();
}

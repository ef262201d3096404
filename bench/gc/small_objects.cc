// Small objects that die at once: nanoseconds for one, the collector's share included.
//
//   small_objects_MEMORY [bytes = 32] [linked | plain] [millions = 50]
//
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

}  // namespace

int main(int argc, char** argv) {
  const int bytes = argc > 1 ? std::stoi(argv[1]) : 32;
  const std::string_view kind = argc > 2 ? argv[2] : "linked";
  const std::uint64_t objects = 1'000'000 * (argc > 3 ? std::stoull(argv[3]) : 50);
  Memory::begin();
  make_all(bytes, kind == "linked", objects / 10);  // warm up
  bench::Report report("small_objects", Memory::name);
  const bench::Stopwatch watch;
  make_all(bytes, kind == "linked", objects);
  const double seconds = watch.seconds();
  report.add("bytes", bytes);
  report.add("kind", kind);
  report.add("ns", seconds * 1e9 / static_cast<double>(objects));
  Memory::add_statistics(report);
  report.print();
}

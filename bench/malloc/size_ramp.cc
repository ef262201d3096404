// Things that grow: realloc in small steps, vectors, strings.
//
//   size_ramp realloc | containers [rounds]
//
// realloc: 64 buffers grow in turn from 16 bytes to 1 MiB by a quarter and a bit each time, so no buffer has
// the memory behind it for itself. containers: vectors by push_back and strings by append, 200 of each.

#include <algorithm>
#include <vector>

#include "bench/malloc/object.h"

namespace {

constexpr std::size_t kMost = std::size_t{1} << 20;

struct Buffer {
  char* start = nullptr;
  std::size_t bytes = 0;
};

void grow(Buffer& buffer, std::size_t bytes) {
  auto* start = static_cast<char*>(std::realloc(buffer.start, bytes));
  if (start == nullptr) bench::fail("realloc returned null");
  if (buffer.bytes != 0 && start[buffer.bytes - 1] != 'z') bench::fail("realloc lost the contents");
  std::fill(start + buffer.bytes, start + bytes, 'z');
  buffer = {start, bytes};
}

std::uint64_t ramp_buffers() {
  std::vector<Buffer> buffers(64);
  std::uint64_t steps = 0;
  for (std::size_t bytes = 16; bytes <= kMost; bytes += bytes / 4 + 8) {
    for (auto& buffer : buffers) grow(buffer, bytes);
    steps += buffers.size();
  }
  for (auto& buffer : buffers) std::free(buffer.start);
  return steps;
}

std::uint64_t ramp_containers() {
  std::vector<std::vector<std::uint64_t>> vectors(200);
  std::vector<std::string> strings(200);
  std::uint64_t steps = 0;
  bench::Random random(3);
  for (std::size_t i = 0; i < 1500; ++i) {
    for (auto& numbers : vectors) numbers.push_back(i);
    for (auto& text : strings) text.append(1 + random.below(16), 'x');
    steps += vectors.size() + strings.size();
    strings[random.below(strings.size())] = "a short life, but longer than the small string buffer";
  }
  return steps;
}

}  // namespace

int main(int argc, char** argv) {
  const bench::Arguments arguments(argc, argv);
  const bool is_realloc = arguments.word(1, "realloc") == "realloc";
  const std::size_t rounds = arguments.number(2, is_realloc ? 40 : 300);
  std::uint64_t steps = 0;
  for (std::size_t i = 0; i < rounds; ++i) steps += is_realloc ? ramp_buffers() : ramp_containers();
  bench::print_check(steps, steps);
}

// Profiles of any stacks and any figures, read back: the gzip frame with its checksum, profile.proto, and the text of gperftools.
#include <map>
#include <sys/mman.h>
#include <unistd.h>

#include "alloc/sample/pprof.h"
#include "alloc/sample/profile_writer.h"
#include "tests/fuzz/protobuf.h"

namespace lull::sample {
namespace {

using fuzz::Input;

std::string written(ProfileFormat format) {
  const int file = ::memfd_create("profile", 0);
  FUZZ_CHECK(file >= 0 && write_profile(file, format));
  std::string bytes(static_cast<std::size_t>(::lseek(file, 0, SEEK_END)), '\0');
  FUZZ_CHECK(::pread(file, bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
  ::close(file);
  return bytes;
}

std::uint32_t crc_of(std::string_view bytes) {
  std::uint32_t crc = ~0u;
  for (char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
  }
  return ~crc;
}

// Stored blocks only, which is all that Output writes.
std::string unzipped(std::string_view file) {
  const auto number = [&](unsigned bytes) {
    FUZZ_CHECK(file.size() >= bytes);
    std::uint32_t value = 0;
    for (unsigned i = 0; i < bytes; ++i) value |= static_cast<std::uint32_t>(static_cast<unsigned char>(file[i])) << 8 * i;
    file.remove_prefix(bytes);
    return value;
  };
  FUZZ_CHECK(number(2) == 0x8b1f && number(1) == 8 && number(1) == 0);
  number(4), number(2);
  std::string out;
  for (bool last = false; !last;) {
    const std::uint32_t header = number(1), length = number(2);
    FUZZ_CHECK(header <= 1 && number(2) == (~length & 0xffff) && length <= file.size());
    last = header == 1;
    out += file.substr(0, length);
    file.remove_prefix(length);
  }
  FUZZ_CHECK(number(4) == crc_of(out) && number(4) == static_cast<std::uint32_t>(out.size()) && file.empty());
  return out;
}

using Expected = std::map<std::vector<std::uint64_t>, StackFigures>;  // by call sites

void check_pprof(const Expected& expected) {
  const std::string bytes = unzipped(written(ProfileFormat::pprof));
  const fuzz::Profile profile(bytes);
  FUZZ_CHECK(profile.samples.size() == expected.size());
  for (const fuzz::ProfileSample& s : profile.samples) {
    const StackFigures& f = expected.at(s.locations);
    const std::vector<std::uint64_t> values{static_cast<std::uint64_t>(f.allocated_objects), static_cast<std::uint64_t>(f.allocated_bytes),
                                            static_cast<std::uint64_t>(f.live_objects), static_cast<std::uint64_t>(f.live_bytes)};
    FUZZ_CHECK(s.values == values);
  }
}

void check_text(const Expected& expected) {
  const std::string text = written(ProfileFormat::text);
  std::size_t at = text.find('\n') + 1, samples = 0;
  FUZZ_CHECK(text.starts_with("heap profile: ") && at != 0);
  for (; at < text.size() && text[at] != '\n'; ++samples) {
    long live, live_bytes, all, all_bytes;
    int used = 0;
    FUZZ_CHECK(std::sscanf(text.c_str() + at, "%ld: %ld [%ld: %ld] @%n", &live, &live_bytes, &all, &all_bytes, &used) == 4);
    std::vector<std::uint64_t> sites;
    for (at += static_cast<std::size_t>(used); text[at] == ' ';) {
      char* end;
      sites.push_back(std::strtoull(text.c_str() + at, &end, 16) - 1);
      at = static_cast<std::size_t>(end - text.c_str());
    }
    FUZZ_CHECK(text[at++] == '\n');
    const StackFigures& f = expected.at(sites);
    FUZZ_CHECK(f.live_objects == live && f.live_bytes == live_bytes && f.allocated_objects == all && f.allocated_bytes == all_bytes);
  }
  FUZZ_CHECK(samples == expected.size() && text.find("\nMAPPED_LIBRARIES:\n", at) == at);
}

// Few different ones: they are never removed.
StackTrace any_stack(Input& in) {
  constexpr std::uintptr_t kFrames[] = {3, 2, 0x1001, 0x401001, ~std::uintptr_t{0}, 0x7f0000001000, 77, std::uintptr_t{1} << 63};
  StackTrace trace;
  trace.depth = 1 + (in.byte() % 16 == 0 ? in.byte() % kMostFrames : in.byte() % 3);
  const std::uint8_t pattern = in.byte();
  for (std::uint32_t i = 0; i < trace.depth; ++i) trace.frames[i] = kFrames[(pattern >> (i % 3) * 2) % 8];
  return trace;
}
Weight any_weight(Input& in) { return {in.any_size() >> 6, in.any_size() >> 6}; }

void play(Input& in) {
  Expected expected;
  std::vector<Stack*> used;
  for (int steps = 0; steps < 60 && !in.is_empty(); ++steps) {
    const StackTrace trace = any_stack(in);
    Stack* stack = intern_stack(trace);
    FUZZ_CHECK(stack != nullptr && stack->depth == trace.depth);
    if (stack->allocated_objects.load() >> 62 != 0) break;
    stack->count_allocated(any_weight(in));
    if (in.byte() % 2 != 0) stack->count_freed(any_weight(in));
    used.push_back(stack);
    std::vector<std::uint64_t> sites;
    for (std::uint32_t i = 0; i < trace.depth; ++i) sites.push_back(trace.frames[i] - 1);
    const StackFigures f = figures_of(*stack);
    FUZZ_CHECK(f.live_objects >= 0 && f.live_bytes >= 0 && f.allocated_objects >= 0 && f.allocated_bytes >= 0);
    if (stack->allocated_objects.load() != 0) expected[sites] = f;
  }
  check_pprof(expected);
  check_text(expected);
  for (Stack* stack : used)
    for (auto* n : {&stack->allocated_objects, &stack->allocated_bytes, &stack->freed_objects, &stack->freed_bytes}) n->store(0);
}

}  // namespace
}  // namespace lull::sample

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  lull::fuzz::Input in(data, size);
  lull::sample::play(in);
  return 0;
}

// lull::object_profile in pprof's format, and what the environment asks for.
#include "lull/object_profile.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <new>
#include <unistd.h>

#include "alloc/base/printable.h"
#include "alloc/base/units.h"
#include "alloc/os/cgroup.h"
#include "alloc/os/vm.h"
#include "alloc/sample/pprof_writer.h"
#include "gc/cycle/cycle_events.h"
#include "gc/report/object_samples.h"

namespace lull {
namespace gc {
namespace {

using sample::PprofWriter;

// What is between the program and the sample: functions whose whole name matches are left out, and what they call.
constexpr char kDropFrames[] = "lull::(gc|detail|cache|sample)::.*|lull::(make|make_array|allocator)\\b.*";

constexpr const char* kLifetimeNames[kLifetimes] = {"<= 1 MiB", "<= 4 MiB", "<= 16 MiB", "<= 64 MiB", "<= 256 MiB", "<= 1 GiB", "<= 4 GiB", "> 4 GiB"};
constexpr const char* kSurvivalNames[kSurvivals] = {"0", "1", "2-3", "4+"};

std::int64_t objects(std::uint64_t scaled) {
  return static_cast<std::int64_t>((scaled + (std::uint64_t{1} << (sample::kObjectShift - 1))) >> sample::kObjectShift);
}
std::uint64_t read(const Site::Counter& counter) { return counter.load(std::memory_order_relaxed); }
std::int64_t difference(std::uint64_t a, std::uint64_t b) { return std::max<std::int64_t>(static_cast<std::int64_t>(a - b), 0); }

class ProfileOfObjects {
 public:
  explicit ProfileOfObjects(PprofWriter& to) : to_(to) {}

  void allocations() {
    for (const auto& [type, unit] : {std::pair{"alloc_objects", "count"}, {"alloc_space", "bytes"}, {"inuse_objects", "count"}, {"inuse_space", "bytes"}})
      to_.value_type(type, unit);
    const std::uint64_t type_key = to_.string("type");
    for_each_site([&](const Site& s) {
      const std::uint64_t freed_objects = read(s.freed_objects), freed_bytes = read(s.freed_bytes);  // first: it was allocated before
      const std::uint64_t all_objects = read(s.allocated_objects), all_bytes = read(s.allocated_bytes);
      const std::int64_t values[] = {objects(all_objects), static_cast<std::int64_t>(all_bytes),
                                     objects(static_cast<std::uint64_t>(difference(all_objects, freed_objects))), difference(all_bytes, freed_bytes)};
      const PprofWriter::Label type{type_key, name_of(*s.kind)};
      to_.sample(frames_of(s), values, {&type, 1});
    });
    finish();
  }

  void lifetimes() {
    to_.value_type("objects", "count");
    to_.value_type("space", "bytes");
    const std::uint64_t type_key = to_.string("type"), lifetime_key = to_.string("lifetime"), cycles_key = to_.string("cycles");
    std::uint64_t lifetimes[kLifetimes], survivals[kSurvivals];
    std::transform(kLifetimeNames, kLifetimeNames + kLifetimes, lifetimes, [&](const char* name) { return to_.string(name); });
    std::transform(kSurvivalNames, kSurvivalNames + kSurvivals, survivals, [&](const char* name) { return to_.string(name); });
    for_each_site([&](const Site& s) {
      const std::uint64_t type = name_of(*s.kind);
      for (unsigned l = 0; l < kLifetimes; ++l)
        for (unsigned c = 0; c < kSurvivals; ++c) {
          const std::int64_t values[] = {objects(read(s.deaths[l][c].objects)), static_cast<std::int64_t>(read(s.deaths[l][c].bytes))};
          const PprofWriter::Label labels[] = {{type_key, type}, {lifetime_key, lifetimes[l]}, {cycles_key, survivals[c]}};
          if (values[1] != 0) to_.sample(frames_of(s), values, labels);
        }
    });
    finish();
  }

 private:
  static std::span<const std::uintptr_t> frames_of(const Site& s) { return {s.stack->frames, s.stack->depth}; }
  void finish() { to_.finish({"space", "bytes", object_sampling_mean()}, kDropFrames); }
  // Sites of a type tend to follow each other, so one name is remembered.
  std::uint64_t name_of(const Kind& kind) {
    if (&kind != last_) {
      last_ = &kind;
      last_name_ = to_.string(kind.name);
    }
    return last_name_;
  }

  PprofWriter& to_;
  const Kind* last_ = nullptr;
  std::uint64_t last_name_ = 0;
};

bool write_profile(sample::Output& out, object_profile::view what) {
  std::size_t frames = 4096;  // for those that are added meanwhile
  for_each_site([&](const Site& s) { frames += s.stack->depth; });
  sample::AddressSet sites(frames);
  const std::size_t bytes = round_up(sizeof(PprofWriter), 4096);
  void* memory = sites.is_usable() ? os::map(bytes) : nullptr;
  if (memory == nullptr) {
    errno = ENOMEM;
    return false;
  }
  ProfileOfObjects profile(*new (memory) PprofWriter(out, sites));
  if (what == object_profile::view::allocations) profile.allocations();
  else profile.lifetimes();
  os::unmap(memory, bytes);
  return out.finish();
}

// write(output) into a file made anew. False: errno says why.
template <class Write>
bool write_file(const char* path, sample::Framing framing, Write&& write) {
  const int fd = ::open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0) return false;
  sample::Output file(fd, framing);
  const bool written = write(file);
  const int error = errno;
  const bool closed = ::close(fd) == 0;
  if (!written) errno = error;
  return written && closed;
}

text_sink sink_of(sample::Output& file) {
  return {[](void* to, const char* text, std::size_t size) { static_cast<sample::Output*>(to)->put(text, size); }, &file};
}

// LULL_OBJECT_PROFILE
constexpr std::size_t kMostPath = 4096;
constinit char path_at_exit[kMostPath] = {};
constinit int started_in = 0;

bool write_by_name(const char* path) {
  const std::string_view name(path);
  if (name.ends_with(".folded"))
    return write_file(path, sample::Framing::plain, [](sample::Output& file) { return object_profile::write_folded(sink_of(file)) && file.finish(); });
  if (name.ends_with(".txt"))
    return write_file(path, sample::Framing::plain, [](sample::Output& file) { return object_profile::write_short_lived(sink_of(file)) && file.finish(); });
  return object_profile::write_pprof(path, name.ends_with(".lifetimes") ? object_profile::view::lifetimes : object_profile::view::allocations);
}

void write_at_exit() {
  if (::getpid() != started_in) return;  // a forked child: the file is its parent's
  if (!write_by_name(path_at_exit)) std::fprintf(stderr, "lull: LULL_OBJECT_PROFILE: cannot write %s: %s\n", Printable(path_at_exit).c_str(), std::strerror(errno));
}

// 0: the usual one.
std::size_t rate_from_environment() {
  const char* text = std::getenv("LULL_OBJECT_PROFILE_RATE");
  std::size_t bytes = 0;
  if (text != nullptr && *text != '\0' && !os::parse_bytes(text, bytes))
    std::fprintf(stderr, "lull: LULL_OBJECT_PROFILE_RATE: '%s' is no number of bytes\n", Printable(text, 80).c_str());
  return bytes;
}

}  // namespace

void start_object_profile_from_environment() {
  const char* text = ::secure_getenv("LULL_OBJECT_PROFILE");  // a file is written with the program's rights
  if (text == nullptr || *text == '\0') return;
  std::size_t used = 0;
  for (; *text != '\0' && used + 24 < kMostPath; ++text) {
    if (text[0] == '%' && text[1] == 'p') {
      used += static_cast<std::size_t>(std::snprintf(path_at_exit + used, 24, "%d", ::getpid()));
      ++text;
    } else {
      path_at_exit[used++] = *text;
    }
  }
  started_in = ::getpid();
  object_profile::start(rate_from_environment());
  std::atexit(write_at_exit);
}

}  // namespace gc

namespace object_profile {

bool write_pprof(const text_sink& to, view what) {
  sample::Output out(to, sample::Framing::gzip);
  return gc::write_profile(out, what);
}

bool write_pprof(const char* path, view what) {
  return gc::write_file(path, sample::Framing::gzip, [&](sample::Output& file) { return gc::write_profile(file, what); });
}

}  // namespace object_profile
}  // namespace lull

#include "debug/samples.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>

#include "alloc/os/clock.h"

namespace lull::debug {
namespace {

// What was added to `before` since; its longest value is known to a sixteenth.
histogram difference(const histogram& now, const histogram& before) {
  histogram d;
  for (std::size_t i = 0; i < histogram::bucket_count; ++i) {
    d.buckets[i] = now.buckets[i] - before.buckets[i];
    d.count += d.buckets[i];
    if (d.buckets[i] != 0) d.max_ns = std::min(histogram::bucket_high(i), now.max_ns);
  }
  d.sum_ns = now.sum_ns - before.sum_ns;
  return d;
}

void fill_buckets(std::array<std::uint32_t, Sample::kBuckets>& out, const histogram& h) {
  for (std::size_t i = 0; i < histogram::bucket_count; ++i) {
    if (h.buckets[i] == 0) continue;
    const unsigned power = static_cast<unsigned>(std::bit_width(histogram::bucket_low(i) | 1)) - 1;
    const unsigned at = std::min(power - std::min(power, Sample::kFirstBucket), Sample::kBuckets - 1);
    out[at] += static_cast<std::uint32_t>(h.buckets[i]);
  }
}

std::uint64_t resident_bytes() {
  char text[64] = {};
  const int fd = ::open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  const ssize_t n = ::read(fd, text, sizeof text - 1);
  ::close(fd);
  char* second = nullptr;
  if (n <= 0) return 0;
  std::strtoull(text, &second, 10);
  return std::strtoull(second, nullptr, 10) * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

struct Column {
  const char* name;
  std::uint64_t Sample::* count = nullptr;
  double Sample::* number = nullptr;
};
constexpr Column kColumns[] = {
    {"number", &Sample::number},
    {"time", nullptr, &Sample::time},
    {"live", &Sample::live},
    {"goal", &Sample::goal},
    {"objects", &Sample::objects},
    {"inuse", &Sample::inuse},
    {"held", &Sample::held},
    {"resident", &Sample::resident},
    {"allocated_bytes", nullptr, &Sample::allocated_bytes},
    {"allocated_objects", nullptr, &Sample::allocated_objects},
    {"collector", nullptr, &Sample::collector},
    {"assists", nullptr, &Sample::assists},
    {"program", nullptr, &Sample::program},
    {"cycles", &Sample::cycles},
    {"young", &Sample::young},
    {"pauses", &Sample::pauses},
    {"pause_p50", &Sample::pause_p50},
    {"pause_p99", &Sample::pause_p99},
    {"pause_max", &Sample::pause_max},
    {"slow_p99", &Sample::slow_p99},
    {"slow_max", &Sample::slow_max},
    {"assist_count", &Sample::assist_count},
    {"assist_p99", &Sample::assist_p99},
    {"threads", &Sample::threads},
    {"destructors", &Sample::destructors},
};

void write_buckets(gc::TextWriter& out, const Sample& sample) {
  out << '[';
  gc::Comma comma;
  for (std::uint32_t n : sample.pause_buckets) out << comma << n;
  out << ']';
}

}  // namespace

void Samples::take() {
  enum { live, goal, objects, inuse, held, bytes, count, collector, assists, cycles, young, threads, destructors, pauses, slow, assisted };
  metrics::sample read[] = {{"/gc/heap/live:bytes"},
                            {"/gc/heap/goal:bytes"},
                            {"/memory/classes/heap/objects:bytes"},
                            {"/memory/inuse:bytes"},
                            {"/memory/held:bytes"},
                            {"/gc/heap/allocs:bytes"},
                            {"/gc/heap/allocs:objects"},
                            {"/cpu/classes/gc/mark/dedicated:cpu-seconds"},
                            {"/cpu/classes/gc/mark/assist:cpu-seconds"},
                            {"/gc/cycles/total:gc-cycles"},
                            {"/gc/cycles/young:gc-cycles"},
                            {"/sched/threads:threads"},
                            {"/gc/destructors/pending:objects"},
                            {"/gc/pauses:seconds", &pauses_},
                            {"/gc/allocs/slow:seconds", &slow_},
                            {"/gc/assists:seconds", &assists_}};
  metrics::read(read);
  const Totals now{os::monotonic_ns(), os::process_cpu_ns(), read[bytes].u,     read[count].u,
                   read[cycles].u,     read[young].u,        read[collector].f, read[assists].f};
  const Totals& then = before_;
  const double seconds = static_cast<double>(now.ns - then.ns) * 1e-9;
  Sample s;
  s.time = static_cast<double>(os::wall_ns()) * 1e-9;
  s.live = read[live].u;
  s.goal = read[goal].u > ~std::uint64_t{0} >> 1 ? 0 : read[goal].u;
  s.objects = read[objects].u;
  s.inuse = read[inuse].u;
  s.held = read[held].u;
  s.resident = resident_bytes();
  s.threads = read[threads].u;
  s.destructors = read[destructors].u;
  s.cycles = now.cycles - then.cycles;
  s.young = now.young - then.young;
  s.allocated_bytes = static_cast<double>(now.allocated_bytes - then.allocated_bytes) / seconds;
  s.allocated_objects = static_cast<double>(now.allocated_objects - then.allocated_objects) / seconds;
  s.collector = (now.collector - then.collector) / seconds;
  s.assists = (now.assists - then.assists) / seconds;
  s.program = static_cast<double>(now.process_ns - then.process_ns) * 1e-9 / seconds;
  const histogram pause = difference(pauses_, pauses_before_), allocation = difference(slow_, slow_before_), assist = difference(assists_, assists_before_);
  s.pauses = pause.count;
  s.pause_p50 = pause.quantile_ns(0.5);
  s.pause_p99 = pause.quantile_ns(0.99);
  s.pause_max = pause.max_ns;
  s.slow_p99 = allocation.quantile_ns(0.99);
  s.slow_max = allocation.max_ns;
  s.assist_count = assist.count;
  s.assist_p99 = assist.quantile_ns(0.99);
  fill_buckets(s.pause_buckets, pause);
  const bool has_predecessor = before_.ns != 0;
  before_ = now;
  pauses_before_ = pauses_;
  slow_before_ = slow_;
  assists_before_ = assists_;
  if (has_predecessor) add(s);  // the first one has nothing to compare with
}

void Samples::add(const Sample& sample) {
  const std::lock_guard lock(mutex_);
  samples_.push_back(sample);
  samples_.back().number = ++taken_;
  if (samples_.size() > kMost) samples_.pop_front();
}

void Samples::write(gc::TextWriter& out, std::uint64_t after) {
  const std::lock_guard lock(mutex_);
  const std::uint64_t oldest = taken_ - samples_.size();  // the number before it
  const auto from = samples_.begin() + static_cast<std::ptrdiff_t>(std::min(std::max(after, oldest), taken_) - oldest);
  const auto for_each = [&](auto&& write_one) {
    out << '[';
    gc::Comma comma;
    for (auto s = from; s != samples_.end(); ++s) {
      out << comma;
      write_one(*s);
    }
    out << ']';
  };
  out << '{';
  for (const Column& c : kColumns) {
    out.json(c.name) << ':';
    for_each([&](const Sample& s) { c.count != nullptr ? out << s.*c.count : out << s.*c.number; });
    out << ',';
  }
  out << "\"pause_buckets\":";
  for_each([&](const Sample& s) { write_buckets(out, s); });
  out << '}';
}

}  // namespace lull::debug

#include "debug/snapshot.h"

#include <fcntl.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "alloc/os/clock.h"
#include "debug/threads.h"
#include "debug/types.h"
#include "lull/leak_watch.h"

namespace lull::debug {
namespace {

using gc::Comma;
using gc::TextWriter;

constexpr std::size_t kTypes = 25, kThreads = 40;

// Of the program's file, however it was called.
std::string program_name() {
  const std::string all = command_line();
  const std::string first = all.substr(0, all.find('\0'));
  return first.substr(first.rfind('/') + 1);
}

std::string host_name() {
  utsname system;
  return ::uname(&system) == 0 ? system.nodename : "";
}

void write_about(TextWriter& out) {
  metrics::sample read[] = {{"/cpu/classes/total:cpu-seconds"}, {"/sched/gomaxprocs:threads"}, {"/gc/gogc:percent"},
                            {"/gc/gomemlimit:bytes"},           {"/gc/cycles/total:gc-cycles"}, {"/gc/heap/allocs:bytes"}};
  metrics::read(read);
  const auto bounded = [&](std::size_t i) { return read[i].u > ~std::uint64_t{0} >> 1 ? std::uint64_t{0} : read[i].u; };
  out << "\"about\":{\"program\":";
  out.json(program_name()) << ",\"host\":";
  out.json(host_name()) << ",\"pid\":" << std::int64_t{::getpid()} << ",\"now\":" << static_cast<double>(os::wall_ns()) * 1e-9
                        << ",\"uptime\":" << read[0].f / static_cast<double>(std::max<std::uint64_t>(read[1].u, 1))
                        << ",\"processors\":" << read[1].u << ",\"percent\":" << bounded(2) << ",\"limit\":" << bounded(3)
                        << ",\"cycles\":" << read[4].u << ",\"allocated\":" << read[5].u << '}';
}

// As the leak watch sees it, where the program has started one; 0: does not grow.
double growth_of(std::string_view type, std::span<const leak> leaks) {
  for (const leak& l : leaks)
    if (l.type == type) return l.bytes_per_second;
  return 0;
}

void write_types(TextWriter& out) {
  leak leaks[kTypes];
  const auto growing = std::span(leaks).first(leak_watch::find(leaks));
  out << "\"types\":[";
  Comma comma;
  for (const type_stats& t : largest_types(kTypes)) {
    out << comma << "{\"name\":";
    out.json(t.name) << ",\"bytes\":" << t.bytes << ",\"objects\":" << t.mallocs - t.frees << ",\"live_bytes\":" << t.live_bytes
                     << ",\"live_objects\":" << t.live_objects << ",\"total_bytes\":" << t.total_bytes << ",\"total_objects\":" << t.mallocs
                     << ",\"grows\":" << growth_of(t.name, growing) << '}';
  }
  out << ']';
}

void write_threads(TextWriter& out) {
  out << "\"threads\":[";
  Comma comma;
  for (const ThreadFigures& t : busiest_threads(kThreads)) {
    out << comma << "{\"id\":" << std::int64_t{t.id} << ",\"name\":";
    out.json(t.name) << ",\"state\":";
    out.json({&t.state, 1}) << ",\"cpu_seconds\":" << t.cpu_seconds << '}';
  }
  out << ']';
}

}  // namespace

std::string command_line() {
  std::string text(4096, '\0');
  const int fd = ::open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
  const ssize_t n = fd < 0 ? 0 : ::read(fd, text.data(), text.size());
  if (fd >= 0) ::close(fd);
  text.resize(static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
  return text;
}

void write_snapshot(const text_sink& to, Samples& samples, std::uint64_t after) {
  TextWriter out(to);
  out << '{';
  write_about(out);
  out << ",\"samples\":";
  samples.write(out, after);
  out << ',';
  write_types(out);
  out << ',';
  write_threads(out);
  out << '}';
}

}  // namespace lull::debug

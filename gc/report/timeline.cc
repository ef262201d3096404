// lull::timeline in the Trace Event Format: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
#include "lull/timeline.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

#include "alloc/base/printable.h"
#include "alloc/os/no_cancellation.h"
#include "alloc/sample/output.h"
#include "alloc/trace/timeline.h"
#include "gc/cycle/cycle_events.h"
#include "gc/cycle/stepper.h"
#include "gc/mutator/mutator.h"
#include "gc/report/text_writer.h"

namespace lull {
namespace gc {
namespace {

using trace::What;

const char* name_of(HandshakeOp op) {
  switch (op) {
    case HandshakeOp::none: return "none";
    case HandshakeOp::barriers_on: return "barriers on";
    case HandshakeOp::scan_stack: return "scan stack";
    case HandshakeOp::flush: return "flush";
    case HandshakeOp::barriers_off: return "barriers off";
    case HandshakeOp::park: return "park";
  }
  return "?";
}

// What the driver did up to a step, for readers who do not know the steps.
const char* activity_before(Step step) {
  switch (step) {
    case Step::sweep_closed: return "finish the last sweep";
    case Step::barriers_on: return "turn barriers on";
    case Step::stacks_scanned: return "scan stacks";
    case Step::roots_marked: return "mark roots";
    case Step::marked: return "mark";
    case Step::terminating: return "set terminating";
    case Step::flushed: return "flush threads";
    case Step::done: return "decide termination";
    case Step::weak_cleared: return "clear weak references";
    case Step::destructors_queued: return "queue destructors";
    case Step::barriers_off: return "turn barriers off";
    case Step::sweep_opened: return "report to the pacer";
    case Step::swept: return "sweep";
    case Step::cycle_begins:
    case Step::cycle_ends: break;  // not recorded
  }
  return "?";
}

class Events {
 public:
  explicit Events(TextWriter& out) : out_(out) {}

  void add(const trace::Entry& e) {
    if (e.thread != last_) note_thread(e.thread);
    const auto op = static_cast<HandshakeOp>(e.argument & 0xff);
    switch (e.what) {
      case What::cycle: return add_span(e, "cycle", e.argument == 1 ? "young cycle" : "full cycle");
      case What::step: return add_span(e, "step", activity_before(static_cast<Step>(e.argument)));
      case What::handshake: return add_span(e, "handshake", "handshake: ", name_of(op));
      case What::answer:
        return add_span(e, "handshake", e.argument & trace::kOnBehalf ? "answer for a blocked thread: " : "answer: ", name_of(op),
                        e.argument & trace::kAsync ? " (by signal)" : "");
      case What::world_stopped: return add_span(e, "stop", e.argument == 0 ? "stopping the world" : "world stopped");
      case What::assist: return add_span(e, "assist", "assist", "", "", "bytes");
      case What::nap: return add_span(e, "assist", "nap: outran the markers");
      case What::mark: return add_span(e, "mark", "mark (helper)", "", "", "bytes");
      case What::sweep: return add_span(e, "sweep", "sweep for a span", "", "", "spans");
      case What::purge: return add_span(e, "memory", "give pages back", "", "", "bytes");
      case What::destructor: return add_span(e, "destructor", e.argument == 1 ? "callback" : "destructor");
      case What::wait: return add_span(e, "wait", "wait for a cycle");
      case What::heap: return add_counter(e, "heap");
      case What::goal: return add_counter(e, "goal");
      case What::thread_name: return add_name(e);
    }
  }

  // Of threads that still run: a thread may have been named after its first entry, and the ring may have lost its name.
  void add_names_of_today() {
    for (std::size_t i = 0; i < threads_; ++i) {
      char path[64], name[32];
      std::snprintf(path, sizeof path, "/proc/self/task/%u/comm", seen_[i]);
      const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
      if (fd < 0) continue;
      const ssize_t n = ::read(fd, name, sizeof name);
      ::close(fd);
      if (n > 1) add_name({.thread = seen_[i]}, {name, static_cast<std::size_t>(n) - 1});
    }
  }

 private:
  // Microseconds with three digits: a double would lose nanoseconds of a machine that is up for months.
  void put_microseconds(std::uint64_t ns) {
    const std::uint64_t fraction = ns % 1000;
    out_ << ns / 1000 << '.' << (fraction < 100 ? "0" : "") << (fraction < 10 ? "0" : "") << fraction;
  }
  void begin(const char* phase, const trace::Entry& e) {
    out_ << comma_ << "\n{\"ph\":\"" << phase << "\",\"pid\":" << std::int64_t{::getpid()} << ",\"tid\":" << e.thread;
  }
  void add_span(const trace::Entry& e, const char* category, const char* name, const char* more = "", const char* end = "",
                const char* argument = nullptr) {
    begin("X", e);
    out_ << ",\"cat\":\"" << category << "\",\"name\":\"" << name << more << end << "\",\"ts\":";
    put_microseconds(e.start_ns);
    out_ << ",\"dur\":";
    put_microseconds(e.duration_ns);
    if (argument != nullptr) out_ << ",\"args\":{\"" << argument << "\":" << e.argument << '}';
    out_ << '}';
  }
  void add_counter(const trace::Entry& e, const char* name) {
    if (e.argument == ~std::uint64_t{0}) return;  // no goal
    begin("C", e);
    out_ << ",\"name\":\"" << name << "\",\"ts\":";
    put_microseconds(e.start_ns);
    out_ << ",\"args\":{\"bytes\":" << e.argument << "}}";
  }
  void add_name(const trace::Entry& e) {
    char name[17] = {};
    const std::uint64_t words[2] = {e.argument, e.duration_ns};
    std::memcpy(name, words, 16);
    add_name(e, name);
  }
  void add_name(const trace::Entry& e, std::string_view name) {
    begin("M", e);
    out_ << ",\"name\":\"thread_name\",\"args\":{\"name\":";
    out_.json(name) << "}}";
  }

  void note_thread(std::uint32_t thread) {
    last_ = thread;
    for (std::size_t i = 0; i < threads_; ++i)
      if (seen_[i] == thread) return;
    if (threads_ < kMostThreads) seen_[threads_++] = thread;
  }

  TextWriter& out_;
  Comma comma_;
  static constexpr std::size_t kMostThreads = 1024;  // whose names are looked up
  std::uint32_t seen_[kMostThreads], last_ = 0;
  std::size_t threads_ = 0;
};

// LULL_TIMELINE
constexpr std::size_t kMostPath = 4096;
constinit char path_at_exit[kMostPath] = {};
constinit int started_in = 0;

void write_at_exit() {
  if (::getpid() != started_in) return;  // a forked child: the file is its parent's
  timeline::stop();
  if (!timeline::write(path_at_exit)) std::fprintf(stderr, "lull: LULL_TIMELINE: cannot write %s: %s\n", Printable(path_at_exit).c_str(), std::strerror(errno));
}

}  // namespace

void start_timeline_from_environment() {
  const char* text = ::secure_getenv("LULL_TIMELINE");  // a file is written with the program's rights
  if (text == nullptr || *text == '\0') return;
  const char* comma = std::strrchr(text, ',');
  if (comma != nullptr && comma[1 + std::strspn(comma + 1, "0123456789")] != '\0') comma = nullptr;  // a comma of the path
  const std::size_t length = comma != nullptr ? static_cast<std::size_t>(comma - text) : std::strlen(text);
  std::size_t used = 0;
  for (std::size_t i = 0; i < length && used + 24 < kMostPath; ++i) {
    if (text[i] == '%' && i + 1 < length && text[i + 1] == 'p') {
      used += static_cast<std::size_t>(std::snprintf(path_at_exit + used, 24, "%d", ::getpid()));
      ++i;
    } else {
      path_at_exit[used++] = text[i];
    }
  }
  started_in = ::getpid();
  const std::size_t entries = comma != nullptr ? std::strtoull(comma + 1, nullptr, 10) : 0;
  timeline::start(entries != 0 ? entries : std::size_t{1} << 14);
  std::atexit(write_at_exit);
}

}  // namespace gc

namespace timeline {

void start(std::size_t entries_per_thread) { trace::start(entries_per_thread); }
void stop() { trace::stop(); }
bool is_on() { return trace::is_on(); }

counts write(const text_sink& to) {
  gc::TextWriter out(to);
  out << "{\"traceEvents\":[";
  gc::Events events(out);
  const trace::Counts n = trace::for_each_entry(
      [](void* context, const trace::Entry& entry) { static_cast<gc::Events*>(context)->add(entry); }, &events);
  events.add_names_of_today();
  out << "\n],\"displayTimeUnit\":\"ns\",\"otherData\":{\"producer\":\"lull\",\"lost\":" << n.lost << "}}\n";
  return {n.entries, n.lost};
}

bool write(const char* path, counts* written) {
  const os::NoCancellation none;
  const int fd = ::open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0) return false;
  sample::Output file(fd, sample::Framing::plain);
  const counts n = write(text_sink{[](void* to, const char* text, std::size_t size) { static_cast<sample::Output*>(to)->put(text, size); }, &file});
  if (written != nullptr) *written = n;
  const bool whole = file.finish();
  const int error = errno;
  const bool closed = ::close(fd) == 0;
  if (!whole) errno = error;
  return whole && closed;
}

}  // namespace timeline
}  // namespace lull

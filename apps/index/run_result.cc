// The text form: one line per field, its name first; lists and texts have their length before the elements.
#include "apps/index/run_result.h"

#include <istream>
#include <ostream>

namespace index_service {
namespace {

class Writer {
 public:
  explicit Writer(std::ostream& out) : out_(out) { out_.precision(17); }
  template <class T>
  void field(const char* name, const T& value) {
    out_ << name;
    put(value);
    out_ << '\n';
  }

 private:
  template <class T>
  void put(const T& value) {
    out_ << ' ' << value;
  }
  void put(const std::string& text) { out_ << ' ' << text.size() << ' ' << text; }
  template <class T>
  void put(const std::vector<T>& values) {
    put(values.size());
    for (const T& value : values) put(value);
  }
  void put(const lull::histogram& h) {
    for (const std::uint64_t value : {h.count, h.sum_ns, h.max_ns}) put(value);
    for (const std::uint64_t value : h.buckets) put(value);
  }
  void put(const MemorySample& s) {
    put(s.seconds);
    put(s.resident_bytes);
    put(s.heap_bytes);
    put(s.allocated_bytes);
  }
  void put(const TypeOverTime& t) {
    put(t.type);
    put(t.live_bytes);
  }
  void put(const StackBytes& s) {
    put(s.frames);
    put(s.bytes);
  }
  void put(const Utilisation& u) {
    put(u.window_ns);
    put(u.least);
  }
  void put(const PauseFigures& p) {
    put(p.kind);
    for (const std::uint64_t value : {p.count, p.p50_ns, p.p99_ns, p.p999_ns, p.max_ns}) put(value);
    put(p.durations);
  }

  std::ostream& out_;
};

class Reader {
 public:
  explicit Reader(std::istream& in) : in_(in) {}
  template <class T>
  void field(const char* name, T& value) {
    std::string found;
    in_ >> found;
    if (found != name) in_.setstate(std::ios::failbit);
    get(value);
  }

 private:
  template <class T>
  void get(T& value) {
    in_ >> value;
  }
  void get(std::string& text) {
    std::size_t size = 0;
    in_ >> size;
    in_.get();  // the space behind the length
    text.clear();
    constexpr std::size_t kMost = 1 << 20;  // more is no result
    if (size > kMost) in_.setstate(std::ios::failbit);
    if (!in_) return;
    text.resize(size);
    in_.read(text.data(), static_cast<std::streamsize>(size));
  }
  template <class T>
  void get(std::vector<T>& values) {
    std::size_t size = 0;
    get(size);
    values.clear();
    for (std::size_t i = 0; in_ && i < size; ++i) get(values.emplace_back());
  }
  void get(lull::histogram& h) {
    for (std::uint64_t* value : {&h.count, &h.sum_ns, &h.max_ns}) get(*value);
    for (std::uint64_t& value : h.buckets) get(value);
  }
  void get(MemorySample& s) {
    get(s.seconds);
    get(s.resident_bytes);
    get(s.heap_bytes);
    get(s.allocated_bytes);
  }
  void get(TypeOverTime& t) {
    get(t.type);
    get(t.live_bytes);
  }
  void get(StackBytes& s) {
    get(s.frames);
    get(s.bytes);
  }
  void get(Utilisation& u) {
    get(u.window_ns);
    get(u.least);
  }
  void get(PauseFigures& p) {
    get(p.kind);
    for (std::uint64_t* value : {&p.count, &p.p50_ns, &p.p99_ns, &p.p999_ns, &p.max_ns}) get(*value);
    get(p.durations);
  }

  std::istream& in_;
};

/// The one list of fields, for both directions.
template <class Archive, class Result>
void visit_fields(Archive& archive, Result& r) {
  archive.field("memory", r.memory);
  archive.field("load_seconds", r.load_seconds);
  archive.field("seconds", r.seconds);
  archive.field("cpu_seconds", r.cpu_seconds);
  archive.field("collector_cpu_seconds", r.collector_cpu_seconds);
  archive.field("others_cpu_seconds", r.others_cpu_seconds);
  archive.field("withheld_cpu_seconds", r.withheld_cpu_seconds);
  archive.field("documents", r.documents);
  archive.field("queries", r.queries);
  archive.field("late_queries", r.late_queries);
  archive.field("unsteady_answers", r.unsteady_answers);
  archive.field("peak_bytes", r.peak_bytes);
  archive.field("final_bytes", r.final_bytes);
  archive.field("latency", r.latency);
  archive.field("start_delay", r.start_delay);
  archive.field("work", r.work);
  archive.field("collections", r.collector.collections);
  archive.field("global_stops", r.collector.global_stops);
  archive.field("heap_bytes", r.collector.heap_bytes);
  archive.field("collector_cpu_seconds_total", r.collector.cpu_seconds);
  archive.field("pauses", r.collector.pauses);
  archive.field("memory_over_time", r.memory_over_time);
  archive.field("types", r.types);
  archive.field("stacks", r.stacks);
  archive.field("utilisation", r.utilisation);
  archive.field("digests", r.digests);
}

}  // namespace

void write_result(std::ostream& out, const RunResult& result) {
  Writer writer(out);
  visit_fields(writer, result);
}

bool read_result(std::istream& in, RunResult& result) {
  Reader reader(in);
  visit_fields(reader, result);
  return !in.fail();
}

}  // namespace index_service

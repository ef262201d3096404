// What lull writes for people and for monitoring, read back: trace lines stay within their buffers whatever the figures are; JSON and
// Prometheus text are well formed whatever types, services and threads are called.
#include <cmath>

#include "alloc/trace/timeline.h"
#include "gc/model/colour.h"
#include "gc/model/kinds.h"
#include "gc/report/debug_lines.h"
#include "gc/report/gctrace.h"
#include "gc/report/text_writer.h"
#include "lull/lull.h"
#include "lull/lull_c.h"
#include "lull/metrics_export.h"
#include "lull/timeline.h"
#include "tests/fuzz/json.h"

namespace {

using lull::fuzz::Input;
using lull::fuzz::Json;
using lull::fuzz::JsonReader;

// ---- Lines ----

double any_figure(Input& in) { return in.byte() % 4 != 0 ? static_cast<double>(in.number(5)) * 1e-4 : in.any_double(); }

lull::gc::CycleReport any_cycle(Input& in) {
  lull::gc::CycleReport r;
  r.number = in.any_size();
  for (double* figure : {&r.start_seconds, &r.gc_cpu_percent, &r.handshake_on_ms, &r.mark_clock_ms, &r.terminate_ms, &r.handshake_on_cpu_ms,
                         &r.assist_cpu_ms, &r.background_cpu_ms, &r.idle_cpu_ms, &r.terminate_cpu_ms})
    *figure = any_figure(in);
  for (std::uint64_t* bytes : {&r.heap_start, &r.heap_end, &r.heap_marked, &r.goal, &r.stack_bytes, &r.root_bytes, &r.handshake_p999_ns,
                               &r.handshake_max_ns, &r.flush_rounds, &r.global_stops})
    *bytes = in.any_size();
  r.workers = static_cast<unsigned>(in.number(4));
  r.forced = in.byte() % 2 != 0;
  r.young = in.byte() % 2 != 0;
  r.reason = lull::gc::name_of(static_cast<lull::gc::CycleReason>(in.byte() % 9));
  return r;
}
lull::gc::PacerReport any_pacing(Input& in) {
  lull::gc::PacerReport r{.cycle = in.any_size(), .young = in.byte() % 2 != 0, .seen = {}, .trigger = in.any_size(), .goal = in.any_size(),
                          .next = in.byte() % 2 != 0 ? lull::gc::CycleKind::young : lull::gc::CycleKind::full, .reason = "why"};
  r.seen.goal = in.any_size();
  r.seen.trigger = in.any_size();
  r.seen.heap_live_at_end = in.any_size();
  r.seen.scan_work = in.any_size();
  r.seen.utilisation = any_figure(in);
  r.seen.cons_mark = any_figure(in);
  return r;
}

// Room for `size` bytes and not one more. Too little room cuts the line, which still ends as a line.
template <class Format>
void check_line(std::size_t size, std::size_t always_enough, Format&& format) {
  std::vector<char> exact(size, 'x');
  const std::size_t length = format(exact.data(), size);
  if (size == 0) return FUZZ_CHECK(length == 0);
  FUZZ_CHECK(length < size && exact[length] == '\0' && std::strlen(exact.data()) == length);
  if (size >= 2) FUZZ_CHECK(length > 0 && exact[length - 1] == '\n');
  if (size >= always_enough) FUZZ_CHECK(length < size - 1);  // none of it is cut
}

void check_lines(Input& in) {
  const std::size_t size = in.byte() % 2 != 0 ? lull::gc::kDebugLineSize : in.number(2) % 1500;
  check_line(size, lull::gc::kGctraceLineSize, [r = any_cycle(in)](char* out, std::size_t n) { return lull::gc::format_gctrace(r, out, n); });
  check_line(size, lull::gc::kDebugLineSize, [r = any_pacing(in)](char* out, std::size_t n) { return lull::gc::format_pacertrace(r, out, n); });
  const lull::gc::PurgeReport purge{any_figure(in), in.any_size(), in.any_size(), in.any_size(), in.any_size(), in.any_size()};
  check_line(size, lull::gc::kDebugLineSize, [&](char* out, std::size_t n) { return lull::gc::format_scavtrace(purge, out, n); });
  std::vector<std::uintptr_t> stack(in.byte() % 80, in.any_size());
  lull::gc::AllocationReport allocation{in.any_size(), static_cast<std::int64_t>(in.any_size()), {}, in.any_size(), in.any_size(), stack};
  const std::string type(in.rest());
  allocation.type = type;
  check_line(size, lull::gc::kDebugLineSize, [&](char* out, std::size_t n) { return lull::gc::format_alloctrace(allocation, out, n); });
}

// ---- Durations ----

void check_histogram(Input& in) {
  lull::histogram h;
  std::vector<std::uint64_t> values;
  while (!in.is_empty() && values.size() < 200) {
    const std::uint64_t value = in.any_size();
    const std::size_t bucket = lull::histogram::bucket_of(value);
    FUZZ_CHECK(lull::histogram::bucket_low(bucket) <= value && value <= lull::histogram::bucket_high(bucket));
    values.push_back(value);
    ++h.count;
    ++h.buckets[bucket];
    h.max_ns = std::max(h.max_ns, value);
  }
  std::sort(values.begin(), values.end());
  for (double q : {0.0, 0.25, 0.5, 0.9, 0.99, 1.0}) {
    const std::uint64_t found = h.quantile_ns(q);
    if (values.empty()) return FUZZ_CHECK(found == 0);
    const auto rank = static_cast<std::size_t>(std::ceil(q * static_cast<double>(values.size()) - 1e-9));
    const std::uint64_t exact = values[rank == 0 ? 0 : rank - 1];
    FUZZ_CHECK(found >= exact && found - exact <= exact / 16);
  }
}

// ---- Text for monitoring ----

// By the number that the bytes mean.
bool is_character(std::string_view bytes) {
  const std::size_t n = bytes.size();
  const std::uint32_t first = static_cast<unsigned char>(bytes[0]);
  if (n == 1) return first < 0x80;
  if (first >> (7 - n) != (2u << n) - 2) return false;  // n ones and a zero
  std::uint32_t point = first & (0x7fu >> n);
  for (char c : bytes.substr(1)) {
    if ((static_cast<unsigned char>(c) & 0xc0) != 0x80) return false;
    point = point << 6 | (static_cast<unsigned char>(c) & 0x3f);
  }
  constexpr std::uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  return point >= kLeast[n] && point <= 0x10ffff && (point < 0xd800 || point > 0xdfff);
}
// With U+FFFD for each byte that belongs to no character.
std::string as_utf8(std::string_view bytes) {
  std::string text;
  while (!bytes.empty()) {
    std::size_t n = std::min<std::size_t>(bytes.size(), 4);
    while (n > 0 && !is_character(bytes.substr(0, n))) --n;
    text += n == 0 ? "\xef\xbf\xbd" : bytes.substr(0, n);
    bytes.remove_prefix(std::max<std::size_t>(n, 1));
  }
  return text;
}

template <class Write>
std::string text_of(Write&& write) {
  std::string text;
  write(lull::text_sink{[](void* to, const char* at, std::size_t n) { static_cast<std::string*>(to)->append(at, n); }, &text});
  FUZZ_CHECK(as_utf8(text) == text);
  return text;
}

void check_json_strings(Input& in) {
  std::vector<std::string> strings;
  while (!in.is_empty() && strings.size() < 50) strings.push_back(in.text(255));
  strings.push_back(std::string(3000, in.byte() % 2 != 0 ? '\\' : 'x'));  // more than the writer's buffer
  const std::string text = text_of([&](const lull::text_sink& to) {
    lull::gc::TextWriter out(to);
    lull::gc::Comma comma;
    out << '[';
    for (const std::string& s : strings) out << comma, out.json(s);
    out << ']';
  });
  const Json array = JsonReader(text).read();
  FUZZ_CHECK(array.items.size() == strings.size());
  for (std::size_t i = 0; i < strings.size(); ++i) FUZZ_CHECK(array.items[i].text == as_utf8(strings[i]));
}

// A kind of the C interface with objects that live. Its name is changed in place from input to input, in the copy of the kind that the
// collector has.
constexpr std::size_t kNameLength = 24;
char* kind_name;
void make_kind_once() {
  static bool made = false;
  if (made) return;
  made = true;
  static lull_kind kind;
  lull_kind_info info{};
  const std::string name(kNameLength, 'k');
  info.name = name.c_str();
  info.bytes = 4096;
  FUZZ_CHECK(lull_kind_init(&kind, &info) == 0);
  static void* kept[200];  // so that it is among the types with the most bytes
  for (void*& object : kept) object = lull_new(&kind);
  FUZZ_CHECK(kept[0] != nullptr);
  const auto object = lull::gc::resolve(reinterpret_cast<std::uintptr_t>(kept[0]));
  kind_name = const_cast<char*>(lull::gc::kind_of(*object.span).name.data());
}

// Undoes the escapes of a label.
std::string label_value(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    FUZZ_CHECK(text[i] != '"' && text[i] != '\n');
    if (text[i] != '\\') {
      out += text[i];
      continue;
    }
    FUZZ_CHECK(++i < text.size() && (text[i] == '\\' || text[i] == '"' || text[i] == 'n'));
    out += text[i] == 'n' ? '\n' : text[i];
  }
  return out;
}
bool has_kind_name(const std::string& text) { return text == as_utf8({kind_name, kNameLength}); }

void check_prometheus(const lull::metrics::export_options& options) {
  const std::string text = text_of([&](const lull::text_sink& to) { lull::metrics::write_prometheus(to, options); });
  bool found = false;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    FUZZ_CHECK(end != text.npos);
    const std::string_view line(text.data() + at, end - at);
    at = end + 1;
    if (line.starts_with("# HELP ") || line.starts_with("# TYPE ")) continue;
    FUZZ_CHECK(line.starts_with("lull_"));
    const std::size_t space = line.rfind(' ');
    FUZZ_CHECK(space != line.npos && line.find_first_not_of("0123456789.e+-Inf", space + 1) == line.npos);
    const std::size_t label = line.find("{type=\"");
    if (label == line.npos) continue;
    FUZZ_CHECK(line.substr(space - 2, 2) == "\"}");
    found |= has_kind_name(label_value(line.substr(label + 7, space - 2 - label - 7)));
  }
  FUZZ_CHECK(found || options.most_types < 10);
}
void check_expvar(const lull::metrics::export_options& options) {
  const std::string text = text_of([&](const lull::text_sink& to) { lull::metrics::write_expvar(to, options); });
  const Json all = JsonReader(text).read();
  bool found = false;
  for (const Json& type : all.at("types").items) found |= has_kind_name(type.at("name").text);
  FUZZ_CHECK(found || options.most_types < 10);
  FUZZ_CHECK(all.at("types").items.size() <= options.most_types);
}
void check_otlp(const lull::metrics::export_options& options) {
  const std::string text = text_of([&](const lull::text_sink& to) { lull::metrics::write_otlp(to, options); });
  const Json resource = JsonReader(text).read().at("resourceMetrics").items.at(0);
  FUZZ_CHECK(resource.at("resource").at("attributes").items.at(0).at("value").at("stringValue").text == as_utf8(options.service_name));
  bool found = false;
  for (const Json& metric : resource.at("scopeMetrics").items.at(0).at("metrics").items)
    if (metric.at("name").text == "lull.type.live")
      for (const Json& point : metric.at("gauge").at("dataPoints").items)
        found |= has_kind_name(point.at("attributes").items.at(0).at("value").at("stringValue").text);
  FUZZ_CHECK(found || options.most_types < 10);
}
void check_exporters(Input& in) {
  make_kind_once();
  for (std::size_t i = 0; i < kNameLength; ++i) kind_name[i] = in.is_empty() ? 'k' : static_cast<char>(in.byte());
  const std::size_t most = in.any_size();
  const std::string service = in.text(200);
  const lull::metrics::export_options options{.most_types = most, .service_name = service};
  check_prometheus(options);
  check_expvar(options);
  check_otlp(options);
}

void check_timeline(Input& in) {
  lull::timeline::start(in.any_size() % 300);
  while (!in.is_empty())
    lull::trace::record_slow(static_cast<lull::trace::What>(in.byte() % 15), in.any_size(), in.any_size(), in.any_size());
  lull::timeline::stop();
  const std::string text = text_of([](const lull::text_sink& to) { lull::timeline::write(to); });
  const Json all = JsonReader(text).read();
  for (const Json& event : all.at("traceEvents").items) FUZZ_CHECK(event.at("ph").text.size() == 1);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input in(data, size);
  switch (in.byte() % 8) {
    case 0: check_exporters(in); break;
    case 1: check_timeline(in); break;
    case 2: case 3: check_json_strings(in); break;
    case 4: check_histogram(in); break;
    default: check_lines(in); break;
  }
  return 0;
}

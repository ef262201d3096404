// lull/metrics_export.h. With an argument the program writes one format to standard output, for tests/check_exporters.py,
// which has real parsers read it.
#include "lull/metrics_export.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>

#include "gc/report/text_writer.h"
#include "lull/lull.h"
#include "tests/support/hidden.h"

namespace {

using lull::text_sink;

struct Node {
  lull::ptr<Node> next;
  std::uint64_t value = 0;
  void trace(lull::tracer& t) const { t(next); }
};
template <class T>
struct Box {
  T value;
};

lull::root<Node> kept;

void do_something() {
  lull::testing::elsewhere([] {
    for (int i = 0; i < 1000; ++i) {
      kept = lull::make<Node>();
      lull::make<Box<char[40]>>();
      lull::make_array<char>(50'000);
    }
  });
  lull::collect();
}

template <class Write>
std::string text_of(Write&& write) {
  std::string text;
  write(text_sink{[](void* to, const char* at, std::size_t n) { static_cast<std::string*>(to)->append(at, n); }, &text});
  return text;
}
std::string prometheus() {
  return text_of([](const text_sink& to) { lull::metrics::write_prometheus(to); });
}

// Name with labels -> value; every line must be a comment or a sample, of a name that was announced.
std::map<std::string, double> samples_of(const std::string& text) {
  static const std::regex comment(R"(# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) .+)");
  static const std::regex sample(R"re(([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[a-z]+="([^"\\]|\\.)*"\})? ([0-9.e+-]+|\+Inf))re");
  std::map<std::string, double> out;
  std::set<std::string> announced;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::smatch m;
    if (std::regex_match(line, m, comment)) {
      announced.insert(m[2]);
      continue;
    }
    EXPECT_TRUE(std::regex_match(line, m, sample)) << line;
    std::string family = m[1];
    for (const char* suffix : {"_bucket", "_sum", "_count"})
      if (!announced.contains(family) && family.ends_with(suffix)) family.resize(family.size() - std::strlen(suffix));
    EXPECT_TRUE(announced.contains(family)) << line;
    EXPECT_TRUE(out.emplace(std::string(m[1]) + std::string(m[2]), std::stod(m[4])).second) << line;
  }
  return out;
}

TEST(Exporters, PrometheusHasEveryMetricWithItsValue) {
  do_something();
  const lull::mem_stats before = lull::read_mem_stats();
  const auto samples = samples_of(prometheus());
  EXPECT_EQ(samples.at("lull_gc_heap_allocs_objects_total"), static_cast<double>(before.mallocs));
  EXPECT_EQ(samples.at("lull_gc_heap_live_bytes"), static_cast<double>(before.heap_live));
  EXPECT_EQ(samples.at("lull_memory_classes_total_bytes"), static_cast<double>(before.sys));
  EXPECT_EQ(samples.at("lull_gc_cycles_total_gc_cycles_total"), before.num_gc);
  for (const auto& d : lull::metrics::all()) {
    if (d.name == "/gc/gomemlimit:bytes") continue;  // none: left out, unless the container has one
    std::string name = "lull";
    for (char c : d.name) name += c == '/' || c == ':' || c == '-' ? '_' : c;
    name += d.kind == lull::metrics::value_kind::histogram ? "_count" : d.cumulative ? "_total" : "";
    EXPECT_TRUE(samples.contains(name)) << name;
  }
}

TEST(Exporters, PrometheusHistogramsAreCumulativeAndWhole) {
  do_something();
  const lull::mem_stats s = lull::read_mem_stats();
  const std::string text = prometheus();
  static const std::regex bucket(R"re(lull_gc_allocs_slow_seconds_bucket\{le="([^"]*)"\} ([0-9]+))re");
  double last_bound = 0;
  std::uint64_t last = 0, buckets = 0;
  for (std::sregex_iterator at(text.begin(), text.end(), bucket), end; at != end; ++at, ++buckets) {
    const std::uint64_t count = std::stoull((*at)[2]);
    EXPECT_GE(count, last);
    last = count;
    if ((*at)[1] == "+Inf") continue;
    const double bound = std::stod((*at)[1]);
    EXPECT_GT(bound, last_bound);
    last_bound = bound;
    std::uint64_t expected = 0;  // all values up to the bound
    for (std::size_t b = 0; b < lull::histogram::bucket_count; ++b)
      if (static_cast<double>(lull::histogram::bucket_high(b)) <= bound * 1e9 + 0.5) expected += s.alloc_slow.buckets[b];
    EXPECT_EQ(count, expected) << bound;
  }
  EXPECT_EQ(buckets, 28u);
  EXPECT_EQ(last, s.alloc_slow.count);
  EXPECT_GE(last, 1000u);
  const auto samples = samples_of(text);
  EXPECT_EQ(samples.at("lull_gc_allocs_slow_seconds_count"), static_cast<double>(s.alloc_slow.count));
  EXPECT_NEAR(samples.at("lull_gc_allocs_slow_seconds_sum"), static_cast<double>(s.alloc_slow.sum_ns) * 1e-9, 1e-9);
}

// Those of Prometheus are cumulative, these are not: with bounds between them, one more than there are bounds.
TEST(Exporters, OtlpHistogramsHaveEveryValueInOneBucket) {
  do_something();
  const std::string text = text_of([](const text_sink& to) { lull::metrics::write_otlp(to); });
  static const std::regex point(R"re("count":"([0-9]+)","sum":[^,]*,"bucketCounts":\[([^\]]*)\],"explicitBounds":\[([^\]]*)\])re");
  std::uint64_t points = 0, values = 0;
  for (std::sregex_iterator at(text.begin(), text.end(), point), end; at != end; ++at, ++points) {
    const std::string counts = (*at)[2], bounds = (*at)[3];
    static const std::regex number("[0-9]+");
    std::uint64_t sum = 0;
    for (std::sregex_iterator n(counts.begin(), counts.end(), number); n != end; ++n) sum += std::stoull(n->str());
    EXPECT_EQ(sum, std::stoull((*at)[1])) << (*at)[0];
    EXPECT_EQ(std::count(counts.begin(), counts.end(), ','), std::count(bounds.begin(), bounds.end(), ',') + 1);
    values += sum;
  }
  EXPECT_GE(points, 3u);
  EXPECT_GE(values, 1000u);
}

TEST(Exporters, TypesAreTheOnesWithTheMostBytes) {
  static lull::root<char[]> big = lull::make_array<char>(1 << 20);
  do_something();
  const std::string text = text_of([](const text_sink& to) { lull::metrics::write_prometheus(to, {.most_types = 1}); });
  std::size_t rows = 0;
  for (std::size_t at = 0; (at = text.find("lull_type_bytes{type=\"char", at)) != text.npos; ++at) ++rows;
  EXPECT_EQ(rows, 1u);
  EXPECT_EQ(text.find("Node"), text.npos);
}

// Two files may each have a Node in a namespace without a name. Prometheus refuses a metric with the same labels twice.
TEST(Exporters, TypesOfOneNameAreOne) {
  constinit static lull::detail::Kind kinds[2] = {};
  for (lull::detail::Kind& kind : kinds) {
    kind.object_bytes = kind.alignment = 16;
    kind.layout = lull::detail::Layout::no_pointers;
    kind.name = "Twin";
  }
  lull::testing::elsewhere([] {
    for (lull::detail::Kind& kind : kinds) lull::detail::allocate_slow(kind);
  });
  lull::collect();
  std::set<std::string> seen;
  std::istringstream lines(text_of([](const text_sink& to) { lull::metrics::write_prometheus(to, {.most_types = 256}); }));
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with('#')) continue;
    EXPECT_TRUE(seen.insert(line.substr(0, line.rfind(' '))).second) << line;
  }
  EXPECT_TRUE(seen.contains("lull_type_allocated_objects_total{type=\"Twin\"}"));
}

TEST(Exporters, OtlpCountersBeganAtOneMoment) {
  do_something();
  const auto start = [] {
    const std::string text = text_of([](const text_sink& to) { lull::metrics::write_otlp(to); });
    return text.substr(text.find("startTimeUnixNano"), 40);
  };
  const std::string first = start();
  for (int i = 0; i < 10; ++i) EXPECT_EQ(start(), first);
}

// The kernel cuts a thread's name off after 15 bytes, in the midst of a character; arguments and C's names of types are any bytes.
TEST(TextWriter, WritesNothingButUtf8) {
  const auto json = [](std::string_view text) { return text_of([&](const text_sink& to) { lull::gc::TextWriter(to).json(text); }); };
  EXPECT_EQ(json("Gr\u00f6\u00dfe \u20ac \U0001f600"), "\"Gr\u00f6\u00dfe \u20ac \U0001f600\"");
  EXPECT_EQ(json("cut \xc3"), "\"cut \ufffd\"");
  EXPECT_EQ(json("\xc3\n"), "\"\ufffd\\u000a\"");
  EXPECT_EQ(json("\xe2\x82"), "\"\ufffd\ufffd\"");
  EXPECT_EQ(json("\xff\x80 \xc0\xaf"), "\"\ufffd\ufffd \ufffd\ufffd\"");
  for (const char* wrong : {"\xe0\x9f\xbf", "\xed\xa0\x80"}) EXPECT_EQ(json(wrong), "\"\ufffd\ufffd\ufffd\"");
  for (const char* wrong : {"\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80"}) EXPECT_EQ(json(wrong), "\"\ufffd\ufffd\ufffd\ufffd\"");
}

TEST(Exporters, DoNotAttachTheThread) {
  lull::attach_thread();
  lull::testing::elsewhere([] {
    const std::string text = text_of([](const text_sink& to) { lull::metrics::write_expvar(to); });
    EXPECT_NE(text.find("\"/sched/threads:threads\":1}"), text.npos) << text;
  });
  EXPECT_EQ(lull::read_mem_stats().threads, 1u);
}

TEST(Exporters, AShortBufferGetsTheBeginning) {
  do_something();
  const std::string whole = text_of([](const text_sink& to) { lull::metrics::write_otlp(to, {.service_name = "x\"\n"}); });
  EXPECT_NE(whole.find(R"("x\"\u000a")"), whole.npos);
  char buffer[100];
  const std::size_t length = lull::write_to_buffer(buffer, sizeof buffer, [](const text_sink& to) { lull::metrics::write_otlp(to, {.service_name = "x\"\n"}); });
  EXPECT_GE(length, whole.size() / 2);
  EXPECT_EQ(std::string(buffer), whole.substr(0, 99));
  EXPECT_GT(lull::write_to_buffer(nullptr, 0, [](const text_sink& to) { lull::metrics::write_prometheus(to); }), 1000u);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view format = argc == 2 ? argv[1] : "";
  const text_sink out{[](void*, const char* text, std::size_t n) { std::fwrite(text, 1, n, stdout); }, nullptr};
  if (format == "prometheus" || format == "expvar" || format == "otlp") {
    do_something();
    if (format == "prometheus") lull::metrics::write_prometheus(out);
    if (format == "expvar") lull::metrics::write_expvar(out);
    if (format == "otlp") lull::metrics::write_otlp(out);
    return 0;
  }
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}

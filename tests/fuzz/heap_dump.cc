// lull-heap reads any file: refused with a message, or read, and then every report can be made of it. What the reports say of small
// dumps is compared with what a naive search finds: what is retained by an object is what cannot be reached without it.
//
// An input that begins with an odd byte describes a graph, which is written as a dump first; any other is a file.
#include <sstream>
#include <stdexcept>

#include "apps/heap/type_tree.h"
#include "tests/fuzz/protobuf.h"

namespace lull::heap_report {
namespace {

using fuzz::Input;

constexpr std::size_t kFewObjects = 40;

class DumpWriter {
 public:
  DumpWriter() : text_("lull heap dump 1\n") {}
  void tag(char c) { text_ += c; }
  void number(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) text_ += static_cast<char>(value | 0x80);
    text_ += static_cast<char>(value);
  }
  void difference(std::int64_t d) { number(static_cast<std::uint64_t>(d) << 1 ^ static_cast<std::uint64_t>(d >> 63)); }
  void string(std::string_view s) {
    number(s.size());
    text_ += s;
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

// Up to 40 objects, one after the other, of three types, with any references. Sizes are what one byte says.
std::string written_graph(Input in) {
  DumpWriter out;
  for (std::uint64_t i = 0; i < 3; ++i) out.number(i);  // base, time, cycle
  for (std::uint64_t t = 1; t <= 3; ++t) {
    out.tag('K');
    out.number(t);
    out.number(0);
    out.string(std::string(t, static_cast<char>('A' + t)));
  }
  const std::uint32_t objects = 1 + in.below(kFewObjects);
  for (std::uint32_t i = in.below(4); i > 0; --i) {
    out.tag('R');
    out.number(in.below(5));
    out.number(7);
    out.number(1 + in.below(objects));
  }
  std::uint64_t bytes = 0;
  for (std::int64_t o = 1; o <= objects; ++o) {
    const std::uint64_t size = in.byte();
    bytes += size;
    out.tag('O');
    out.number(in.below(4));
    out.difference(1);
    out.number(size);
    for (std::uint32_t n = in.below(5); n > 0; --n) {
      const std::int64_t to = 1 + in.below(objects);
      if (to != o) out.difference(to - o);
    }
    out.difference(0);
  }
  out.tag('Z');
  out.number(objects);
  out.number(bytes);
  return out.text();
}

// Reachable from the roots without `without`.
std::vector<bool> reachable(const Dump& dump, Object without) {
  std::vector<bool> seen(dump.objects());
  std::vector<Object> todo{kRoots};
  while (!todo.empty()) {
    const Object from = todo.back();
    todo.pop_back();
    for (Object to : dump.references.of(from)) {
      if (to == without || seen[to]) continue;
      seen[to] = true;
      todo.push_back(to);
    }
  }
  return seen;
}

void check_retained(Heap& heap) {
  const Dump& dump = heap.dump();
  const auto all = reachable(dump, kRoots);
  for (Object o = 1; o < dump.objects(); ++o) {
    std::uint64_t retained = 0;
    const auto others = reachable(dump, o);
    for (Object x = 1; x < dump.objects(); ++x)
      if (all[x] && !others[x]) retained += dump.sizes[x];
    FUZZ_CHECK(heap.retained().bytes[o] == (all[o] ? retained : dump.sizes[o]));
    const auto path = path_to(heap.before(), o);
    FUZZ_CHECK(!all[o] || (!path.empty() && path.back() == o));
  }
}

void check_by_type(Heap& heap) {
  const Dump& dump = heap.dump();
  const auto all = reachable(dump, kRoots);
  const auto retained = retained_by_type(dump, heap.retained());
  for (std::uint32_t t = 0; t < dump.types.size(); ++t) {
    std::uint64_t own = 0, most = 0;
    for (Object o = 1; o < dump.objects(); ++o) {
      if (all[o] && dump.types_of[o] == t) own += dump.sizes[o];
      if (all[o]) most += dump.sizes[o];
    }
    FUZZ_CHECK(retained[t] >= own && retained[t] <= most);
  }
}

// What goes to `go tool pprof`: the values add up to what is reachable.
void check_pprof(Heap& heap) {
  std::ostringstream out;
  print_pprof(heap, out);
  const std::string text = out.str();
  const fuzz::Profile profile(text);
  std::uint64_t objects = 0, bytes = 0, expected_objects = 0, expected_bytes = 0;
  for (const fuzz::ProfileSample& s : profile.samples) {
    objects += s.values.at(0);
    bytes += s.values.at(1);
  }
  for (Object o : heap.retained().order) {
    expected_objects += o != kRoots;
    expected_bytes += heap.dump().sizes[o];
  }
  FUZZ_CHECK(objects == expected_objects && bytes == expected_bytes);
}

void print_everything(Heap& heap, Heap& same, const std::string& what) {
  std::ostringstream out;
  print_summary(heap, 5, out);
  print_dominators(heap, 5, out);
  print_suspects(heap, 0.05, out);
  print_folded(heap, out);
  print_difference(heap, same, 5, out);
  for (const std::string& asked : {what, std::string("0x") + what, std::string("0x10"), std::string()}) try {
      print_retainers(heap, asked, 5, out);
    } catch (const std::runtime_error&) {
    }
}

void read(std::string_view bytes, bool must_be_right) {
  try {
    Heap heap(parse_dump(bytes)), same(parse_dump(bytes));
    if (heap.dump().objects() <= kFewObjects) {
      check_retained(heap);
      check_by_type(heap);
    }
    check_pprof(heap);
    print_everything(heap, same, std::string(bytes.substr(bytes.size() / 2, 8)));
  } catch (const std::runtime_error&) {
    FUZZ_CHECK(!must_be_right);
  }
}

}  // namespace
}  // namespace lull::heap_report

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace lull::heap_report;
  lull::fuzz::Input in(data, size);
  if (in.byte() % 2 != 0) read(written_graph(in), true);
  else read({reinterpret_cast<const char*>(data) + (size != 0), size - (size != 0)}, false);
  return 0;
}

#include "apps/heap/type_tree.h"

#include <map>

namespace lull::heap_report {

std::vector<TypeNode> type_tree(Heap& heap) {
  constexpr std::uint32_t kMostDepth = 64;
  const Dump& dump = heap.dump();
  const Retained& retained = heap.retained();
  std::vector<TypeNode> nodes{{}};
  std::vector<std::uint32_t> depth{0}, node_of(dump.objects());
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint32_t> child;
  for (Object o : retained.order) {
    if (o == kRoots) continue;
    const std::uint32_t parent = node_of[retained.dominator[o]], type = dump.types_of[o];
    if ((nodes[parent].type == type && parent != 0) || depth[parent] == kMostDepth) {
      node_of[o] = parent;
    } else {
      const auto [at, fresh] = child.try_emplace({parent, type}, static_cast<std::uint32_t>(nodes.size()));
      if (fresh) {
        nodes.push_back({parent, type});
        depth.push_back(depth[parent] + 1);
      }
      node_of[o] = at->second;
    }
    nodes[node_of[o]].objects += 1;
    nodes[node_of[o]].bytes += dump.sizes[o];
  }
  return nodes;
}

void print_folded(Heap& heap, std::ostream& out) {
  const std::vector<TypeNode> nodes = type_tree(heap);
  for (std::uint32_t n = 1; n < nodes.size(); ++n) {
    std::vector<std::uint32_t> path;
    for (std::uint32_t at = n; at != 0; at = nodes[at].parent) path.push_back(nodes[at].type);
    for (auto t = path.rbegin(); t != path.rend(); ++t) out << (t == path.rbegin() ? "" : ";") << heap.dump().types[*t].name;
    out << ' ' << nodes[n].bytes << '\n';
  }
}

namespace {

// https://github.com/google/pprof/blob/main/proto/profile.proto, written field by field.
class Message {
 public:
  void number(unsigned field, std::uint64_t value) {
    varint(field << 3);
    varint(value);
  }
  void bytes(unsigned field, std::string_view value) {
    varint(field << 3 | 2);
    varint(value.size());
    text_ += value;
  }
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) text_ += static_cast<char>(value | 0x80);
    text_ += static_cast<char>(value);
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

enum Field : unsigned { kSampleType = 1, kSample = 2, kLocation = 4, kFunction = 5, kString = 6, kTime = 9, kDefaultType = 14 };
enum String : std::uint64_t { kNothing, kObjects, kCount, kSpace, kBytes, kFirstType };

Message value_type(String type, String unit) {
  Message m;
  m.number(1, type);
  m.number(2, unit);
  return m;
}

}  // namespace

void print_pprof(Heap& heap, std::ostream& out) {
  const std::vector<TypeNode> nodes = type_tree(heap);
  const Dump& dump = heap.dump();
  Message profile;
  profile.bytes(kSampleType, value_type(kObjects, kCount).text());
  profile.bytes(kSampleType, value_type(kSpace, kBytes).text());
  for (std::uint32_t n = 1; n < nodes.size(); ++n) {
    Message path, values, sample;
    for (std::uint32_t at = n; at != 0; at = nodes[at].parent) path.varint(nodes[at].type + 1);
    values.varint(nodes[n].objects);
    values.varint(nodes[n].bytes);
    sample.bytes(1, path.text());
    sample.bytes(2, values.text());
    profile.bytes(kSample, sample.text());
  }
  for (std::size_t t = 0; t < dump.types.size(); ++t) {
    Message line, location, function;
    line.number(1, t + 1);
    location.number(1, t + 1);
    location.bytes(4, line.text());
    function.number(1, t + 1);
    function.number(2, kFirstType + t);
    profile.bytes(kLocation, location.text());
    profile.bytes(kFunction, function.text());
  }
  for (const char* text : {"", "objects", "count", "space", "bytes"}) profile.bytes(kString, text);
  for (const Type& t : dump.types) profile.bytes(kString, t.name);
  profile.number(kTime, dump.wall_ns);
  profile.number(kDefaultType, kSpace);
  out << profile.text();
}

}  // namespace lull::heap_report

#include "apps/heap/reports.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <map>
#include <numeric>
#include <stdexcept>
#include <string_view>

namespace lull::heap_report {

const Retained& Heap::retained() {
  if (retained_.bytes.empty()) retained_ = retained_sizes(dump_);
  return retained_;
}
const std::vector<Object>& Heap::before() {
  if (before_.empty()) before_ = shortest_paths(dump_);
  return before_;
}
const References& Heap::backwards() {
  if (backwards_.size() == 0) backwards_ = References(dump_.references, dump_.objects());
  return backwards_;
}

namespace {

std::uint64_t address_in(std::string_view text) {
  std::uint64_t address = 0;
  const auto [end, error] = std::from_chars(text.data() + 2, text.data() + text.size(), address, 16);
  if (error != std::errc() || end != text.data() + text.size()) throw std::runtime_error("no address: " + std::string(text));
  return address;
}

}  // namespace

std::vector<bool> types_called(const Dump& dump, std::string_view what) {
  const auto is_whole = [&](const Type& t) { return t.name == what; };
  const bool whole = std::any_of(dump.types.begin(), dump.types.end(), is_whole);
  std::vector<bool> called;
  for (const Type& t : dump.types) called.push_back(whole ? is_whole(t) : t.name.starts_with(what));
  return called;
}

Object Heap::find(const std::string& what) {
  const bool is_address = what.starts_with("0x");
  const std::vector<bool> called = types_called(dump_, what);
  const std::uint64_t address = is_address ? address_in(what) : 0;
  Object best = kRoots;
  for (Object o = 1; o < dump_.objects(); ++o) {
    const bool fits = is_address ? address - dump_.addresses[o] < dump_.sizes[o] : called[dump_.types_of[o]];
    if (fits && (best == kRoots || retained().bytes[o] > retained().bytes[best])) best = o;
  }
  return best;
}

namespace {

std::string bytes_text(double bytes) {
  const char* const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  int unit = 0;
  for (; (bytes >= 10000 || bytes <= -10000) && unit < 4; ++unit) bytes /= 1024;
  char text[32];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
  return text;
}
std::string change_text(double bytes) {
  std::string text;
  if (bytes > 0) text += '+';
  return text += bytes_text(bytes);
}
std::string percent_text(std::uint64_t part, std::uint64_t whole) {
  char text[16];
  std::snprintf(text, sizeof text, "%.1f%%", whole == 0 ? 0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole));
  return text;
}
template <class... Values>
void line(std::ostream& out, const char* format, Values... values) {
  char text[600];
  std::snprintf(text, sizeof text, format, values...);
  out << text << '\n';
}

std::string name_of(const Dump& dump, Object o) {
  if (o == kRoots) return "(roots)";
  char text[32];
  std::snprintf(text, sizeof text, " 0x%llx", static_cast<unsigned long long>(dump.addresses[o]));
  return dump.type_name(o) + text;
}

std::string name_of(const Dump& dump, const Root& root) {
  char text[64];
  switch (root.kind) {
    case Root::Kind::cell:
      std::snprintf(text, sizeof text, "root cell 0x%llx", static_cast<unsigned long long>(root.where));
      return text;
    case Root::Kind::stack:
      for (const auto& [tid, name] : dump.threads)
        if (tid == root.where) return "stack of thread " + std::to_string(tid) + " (" + name + ")";
      return "stack of thread " + std::to_string(root.where);
    case Root::Kind::destructor: return "destructor to be run";
    case Root::Kind::callback: return "callback of lull::on_unreachable";
    case Root::Kind::function: return "root function of the program";
  }
  return "root";
}

std::vector<std::uint32_t> largest(const std::vector<std::uint64_t>& values, std::size_t rows, std::size_t first) {
  std::vector<std::uint32_t> order(values.size() - first);
  std::iota(order.begin(), order.end(), static_cast<std::uint32_t>(first));
  const std::size_t n = std::min(rows, order.size());
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(n), order.end(), [&](std::uint32_t a, std::uint32_t b) {
    return values[a] != values[b] ? values[a] > values[b] : a < b;
  });
  order.resize(n);
  return order;
}

void print_path(Heap& heap, Object to, std::ostream& out) {
  const Dump& dump = heap.dump();
  const std::vector<Object> path = path_to(heap.before(), to);
  if (path.empty()) return;
  for (const Root& root : dump.roots)
    if (root.object == path.front()) {
      out << "    " << name_of(dump, root) << '\n';
      break;
    }
  constexpr std::size_t kEnds = 8;  // of a long path
  for (std::size_t i = 0; i < path.size(); ++i) {
    if (i == kEnds && path.size() > 2 * kEnds + 1) {
      i = path.size() - kEnds;
      out << "      ... " << path.size() - 2 * kEnds << " more\n";
    }
    out << "      -> " << name_of(dump, path[i]) << ", " << bytes_text(static_cast<double>(dump.sizes[path[i]])) << ", retains "
        << bytes_text(static_cast<double>(heap.retained().bytes[path[i]])) << '\n';
  }
}

// Down the tree while one child has most of it.
Object accumulation_point(const Retained& retained, const std::vector<std::vector<Object>>& children, Object o) {
  for (;;) {
    Object heaviest = kRoots;
    for (Object c : children[o])
      if (heaviest == kRoots || retained.bytes[c] > retained.bytes[heaviest]) heaviest = c;
    if (heaviest == kRoots || retained.bytes[heaviest] * 10 < retained.bytes[o] * 7) return o;
    o = heaviest;
  }
}

std::vector<std::vector<Object>> children_of(const Retained& retained) {
  std::vector<std::vector<Object>> children(retained.dominator.size());
  for (Object o : retained.order)
    if (o != kRoots) children[retained.dominator[o]].push_back(o);
  return children;
}

}  // namespace

std::vector<Suspect> leak_suspects(Heap& heap, double share) {
  const Dump& dump = heap.dump();
  const Retained& retained = heap.retained();
  const auto children = children_of(retained);
  const auto least = static_cast<std::uint64_t>(share * static_cast<double>(dump.bytes));
  std::vector<Suspect> suspects;
  const auto below = [&](Object parent) {
    std::map<std::uint32_t, std::pair<std::uint64_t, std::uint64_t>> small;  // by type: bytes, objects
    for (Object o : children[parent]) {
      if (retained.bytes[o] >= least) {
        suspects.push_back({retained.bytes[o], 1, o, dump.types_of[o], accumulation_point(retained, children, o)});
        continue;
      }
      auto& [bytes, objects] = small[dump.types_of[o]];
      bytes += retained.bytes[o];
      ++objects;
    }
    for (const auto& [type, sum] : small)
      if (sum.first >= least) suspects.push_back({sum.first, sum.second, parent, type, parent});
  };
  if (dump.bytes != 0) below(kRoots);
  std::sort(suspects.begin(), suspects.end(), [](const Suspect& a, const Suspect& b) { return a.bytes > b.bytes; });
  return suspects;
}

void print_top(Heap& heap, std::size_t rows, std::ostream& out) {
  const Dump& dump = heap.dump();
  const std::vector<std::uint64_t> retained = retained_by_type(dump, heap.retained());
  std::vector<std::uint64_t> bytes;
  for (const Type& t : dump.types) bytes.push_back(t.bytes);
  line(out, "%12s %7s %12s %12s %14s  %s", "bytes", "", "objects", "retained", "not freed yet", "type");
  for (std::uint32_t t : largest(bytes, rows, 1)) {
    const Type& type = dump.types[t];
    if (type.bytes == 0) break;
    line(out, "%12s %7s %12llu %12s %14s  %s", bytes_text(static_cast<double>(type.bytes)).c_str(),
         percent_text(type.bytes, dump.bytes).c_str(), static_cast<unsigned long long>(type.objects),
         bytes_text(static_cast<double>(retained[t])).c_str(),
         bytes_text(static_cast<double>(type.allocated_bytes - std::min(type.allocated_bytes, type.bytes))).c_str(), type.name.c_str());
  }
}

void print_summary(Heap& heap, std::size_t rows, std::ostream& out) {
  const Dump& dump = heap.dump();
  std::uint64_t roots[5] = {};
  for (const Root& root : dump.roots) ++roots[static_cast<std::size_t>(root.kind)];
  out << dump.objects() - 1 << " objects, " << bytes_text(static_cast<double>(dump.bytes)) << ", "
      << dump.references.size() - dump.references.of(kRoots).size() << " references; roots: " << roots[0] << " cells, " << roots[1]
      << " stack words of " << dump.threads.size() << " threads, " << roots[2] << " destructors, " << roots[3] << " callbacks, "
      << roots[4] << " words of root functions\n\n";
  print_top(heap, rows, out);
  out << '\n';
  print_suspects(heap, 0.1, out);
}

void print_retainers(Heap& heap, const std::string& what, std::size_t rows, std::ostream& out) {
  const Dump& dump = heap.dump();
  const Object object = heap.find(what);
  if (object == kRoots) {
    out << "no object of a type that begins with '" << what << "', and none at that address\n";
    return;
  }
  std::vector<std::uint64_t> by_type(dump.types.size() + 1);  // the last: roots
  const bool one = what.starts_with("0x");
  const std::vector<bool> called = types_called(dump, what);
  for (Object o = 1; o < dump.objects(); ++o) {
    if (one ? o != object : !called[dump.types_of[o]]) continue;
    for (Object from : heap.backwards().of(o)) ++by_type[from == kRoots ? dump.types.size() : dump.types_of[from]];
  }
  out << "references from\n";
  for (std::uint32_t t : largest(by_type, rows, 0)) {
    if (by_type[t] == 0) break;
    line(out, "%12llu  %s", static_cast<unsigned long long>(by_type[t]), t == dump.types.size() ? "(roots)" : dump.types[t].name.c_str());
  }
  out << (one ? "a shortest path from a root:\n" : "a shortest path from a root to the one that retains most:\n");
  print_path(heap, object, out);
}

void print_dominators(Heap& heap, std::size_t rows, std::ostream& out) {
  const Dump& dump = heap.dump();
  const Retained& retained = heap.retained();
  std::vector<std::uint64_t> bytes = retained.bytes;
  line(out, "%12s %7s %12s  %-40s %s", "retained", "", "itself", "object", "dominated by");
  for (std::uint32_t o : largest(bytes, rows, 1))
    line(out, "%12s %7s %12s  %-40s %s", bytes_text(static_cast<double>(bytes[o])).c_str(), percent_text(bytes[o], dump.bytes).c_str(),
         bytes_text(static_cast<double>(dump.sizes[o])).c_str(), name_of(dump, o).c_str(), name_of(dump, retained.dominator[o]).c_str());
}

void print_suspects(Heap& heap, double share, std::ostream& out) {
  const Dump& dump = heap.dump();
  const std::vector<Suspect> suspects = leak_suspects(heap, share);
  if (suspects.empty()) out << "no suspect: nothing holds " << 100 * share << " % of the heap alone\n";
  std::size_t number = 0;
  for (const Suspect& s : suspects) {
    out << "suspect " << ++number << ": ";
    if (s.instances == 1) out << name_of(dump, s.holder);
    else out << s.instances << " objects of type " << dump.types[s.type].name << " held by " << name_of(dump, s.holder);
    out << " retain" << (s.instances == 1 ? "s " : " ") << bytes_text(static_cast<double>(s.bytes)) << " ("
        << percent_text(s.bytes, dump.bytes) << ")\n";
    if (s.holder == kRoots) continue;
    if (s.accumulation != s.holder) out << "  gathered in " << name_of(dump, s.accumulation) << '\n';
    out << "  held by\n";
    print_path(heap, s.accumulation, out);
  }
}

void print_difference(Heap& older, Heap& newer, std::size_t rows, std::ostream& out) {
  struct Change {
    std::int64_t bytes = 0, objects = 0;
    std::uint64_t now = 0;
  };
  std::map<std::string, Change> changes;
  for (const Type& t : older.dump().types) {
    changes[t.name].bytes -= static_cast<std::int64_t>(t.bytes);
    changes[t.name].objects -= static_cast<std::int64_t>(t.objects);
  }
  for (const Type& t : newer.dump().types) {
    Change& c = changes[t.name];
    c.bytes += static_cast<std::int64_t>(t.bytes);
    c.objects += static_cast<std::int64_t>(t.objects);
    c.now += t.bytes;
  }
  std::vector<std::pair<std::string, Change>> order;
  for (const auto& c : changes)
    if (c.second.bytes != 0 || c.second.objects != 0) order.push_back(c);
  std::stable_sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return std::abs(a.second.bytes) > std::abs(b.second.bytes); });
  const auto total = static_cast<double>(newer.dump().bytes) - static_cast<double>(older.dump().bytes);
  out << bytes_text(static_cast<double>(older.dump().bytes)) << " -> " << bytes_text(static_cast<double>(newer.dump().bytes)) << " ("
      << change_text(total) << ")\n";
  line(out, "%13s %13s %12s  %s", "bytes", "objects", "now", "type");
  for (std::size_t i = 0; i < std::min(rows, order.size()); ++i) {
    const auto& [name, c] = order[i];
    line(out, "%13s %+13lld %12s  %s", change_text(static_cast<double>(c.bytes)).c_str(),
         static_cast<long long>(c.objects), bytes_text(static_cast<double>(c.now)).c_str(), name.c_str());
  }
  if (!order.empty() && order.front().second.bytes > 0) {
    out << "\nwho holds the type that grew most:\n";
    print_retainers(newer, order.front().first, 5, out);
  }
}

}  // namespace lull::heap_report

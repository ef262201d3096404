#include "apps/index/flame.h"

#include <algorithm>
#include <map>
#include <memory>
#include <sstream>

#include "apps/index/format.h"
#include "apps/index/plot.h"

namespace index_service {
namespace {

struct Node {
  std::uint64_t bytes = 0;
  std::map<std::string, std::unique_ptr<Node>> callees;
};

std::vector<std::string> frames_of(const std::string& folded) {
  std::vector<std::string> frames;
  std::istringstream text(folded);
  for (std::string frame; std::getline(text, frame, ';');) frames.push_back(frame);
  return frames;
}

/// Recursion would make the graph deeper than anybody reads.
constexpr std::size_t kDeepest = 16;

void add(Node& root, const StackBytes& stack) {
  std::vector<std::string> frames = frames_of(stack.frames);
  if (frames.size() > kDeepest) frames.erase(frames.begin(), frames.end() - kDeepest);
  Node* at = &root;
  at->bytes += stack.bytes;
  for (const std::string& frame : frames) {
    std::unique_ptr<Node>& callee = at->callees[frame];
    if (callee == nullptr) callee = std::make_unique<Node>();
    at = callee.get();
    at->bytes += stack.bytes;
  }
}

std::size_t depth_of(const Node& node) {
  std::size_t depth = 0;
  for (const auto& [name, callee] : node.callees) depth = std::max(depth, depth_of(*callee));
  return depth + 1;
}

std::string colour_of(const std::string& name) {
  std::size_t hash = 7;
  for (const char c : name) hash = hash * 31 + static_cast<unsigned char>(c);
  std::ostringstream colour;  // types blue, functions from yellow to red
  if (name.starts_with('[')) colour << "hsl(" << 200 + hash % 25 << " 60% " << 72 + hash / 25 % 8 << "%)";
  else colour << "hsl(" << 18 + hash % 30 << " 85% " << 66 + hash / 30 % 10 << "%)";
  return colour.str();
}

class Drawing {
 public:
  Drawing(const char* name, double width, const Node& root) : width_(width), all_(root.bytes) {
    const double height = static_cast<double>(depth_of(root)) * kRow;
    out_ << "<svg class=\"flame " << name << "\" viewBox=\"0 0 " << width << ' ' << height << "\" role=\"img\">\n";
    draw("all allocation", root, 0, 0);
    out_ << "</svg>\n";
  }
  std::string text() const { return out_.str(); }

 private:
  static constexpr double kRow = 20, kCharacter = 6.3;

  void draw(const std::string& name, const Node& node, double x, int row) {
    const double width = width_ * static_cast<double>(node.bytes) / static_cast<double>(all_);
    if (width < 0.7) return;
    const double y = row * kRow;
    out_ << "<g><title>" << escape_html(name) << ": " << short_bytes(static_cast<double>(node.bytes)) << ", "
         << format_percent(static_cast<double>(node.bytes) / static_cast<double>(all_)) << "</title><rect x=\"" << format_fixed(x, 1)
         << "\" y=\"" << format_fixed(y, 0) << "\" width=\"" << format_fixed(width - 0.6, 1) << "\" height=\"" << kRow - 1 << "\" fill=\""
         << (row == 0 ? "#ddd" : colour_of(name)) << "\"/>";
    const auto room = static_cast<std::size_t>(std::max(0.0, (width - 8) / kCharacter));
    const std::string shown = name.size() <= room ? name : room > 4 ? name.substr(0, room - 2) + ".." : "";
    if (!shown.empty()) out_ << "<text x=\"" << format_fixed(x + 4, 1) << "\" y=\"" << format_fixed(y + 14, 0) << "\">" << escape_html(shown) << "</text>";
    out_ << "</g>\n";
    std::vector<const std::pair<const std::string, std::unique_ptr<Node>>*> callees;
    for (const auto& callee : node.callees) callees.push_back(&callee);
    std::ranges::sort(callees, std::ranges::greater(), [](const auto* c) { return c->second->bytes; });
    for (const auto* callee : callees) {
      draw(callee->first, *callee->second, x, row + 1);
      x += width_ * static_cast<double>(callee->second->bytes) / static_cast<double>(all_);
    }
  }

  std::ostringstream out_;
  double width_;
  std::uint64_t all_;
};

}  // namespace

std::string flame_graph(const std::vector<StackBytes>& stacks) {
  Node root;
  for (const StackBytes& stack : stacks) add(root, stack);
  if (root.bytes == 0) return "<p>No allocation was sampled.</p>\n";
  return Drawing("wide", 860, root).text() + Drawing("narrow", 400, root).text();
}

std::string top_allocations(const std::vector<StackBytes>& stacks) {
  struct Row {
    std::uint64_t bytes = 0;
    std::map<std::string, std::uint64_t> functions;
  };
  std::map<std::string, Row> types;
  std::uint64_t all = 0;
  for (const StackBytes& stack : stacks) {
    const std::vector<std::string> frames = frames_of(stack.frames);
    if (frames.empty()) continue;
    Row& row = types[frames.back()];
    row.bytes += stack.bytes;
    row.functions[frames.size() > 1 ? frames[frames.size() - 2] : "?"] += stack.bytes;
    all += stack.bytes;
  }
  std::vector<std::pair<std::string, Row>> rows(types.begin(), types.end());
  std::ranges::sort(rows, std::ranges::greater(), [](const auto& row) { return row.second.bytes; });
  std::string html = "<div class=\"scroll\"><table>\n<tr><th></th><th>share</th><th class=\"extra\">allocated</th><th>mostly by</th></tr>\n";
  for (std::size_t i = 0; i < rows.size() && i < 8; ++i) {
    const auto& [type, row] = rows[i];
    const auto most = std::ranges::max_element(row.functions, {}, [](const auto& f) { return f.second; });
    html += "<tr><td>" + escape_html(type.substr(1, type.size() - 2)) + "</td><td>" +
            format_percent(static_cast<double>(row.bytes) / static_cast<double>(all)) + "</td><td class=\"extra\">" + short_bytes(static_cast<double>(row.bytes)) +
            "</td><td>" + escape_html(most->first) + "</td></tr>\n";
  }
  return html + "</table></div>\n";
}

}  // namespace index_service

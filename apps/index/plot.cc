#include "apps/index/plot.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <sstream>

#include "apps/index/format.h"

namespace index_service {
namespace {

constexpr double kRight = 18, kTop = 14, kBottom = 46;
constexpr double kCharacter = 6.4;  // about the width of one

struct Size {
  const char* name;
  double width, height, left;
};
constexpr Size kSizes[] = {{"wide", 860, 320, 78}, {"narrow", 400, 300, 72}};

std::string number(double value) { return format_fixed(value, 1); }

/// Position of a value between 0 and 1 along the axis; values outside stick to its ends.
double along(const Axis& axis, double value) {
  if (axis.scale == Scale::kLinear) return std::clamp((value - axis.low) / (axis.high - axis.low), 0.0, 1.0);
  return std::clamp(std::log(std::max(value, axis.low) / axis.low) / std::log(axis.high / axis.low), 0.0,
                    1.0);
}

class Svg {
 public:
  Svg(const Axis& x, const Axis& y, const Size& size) : x_(x), y_(y), size_(size) {
    out_ << "<svg class=\"" << size.name << "\" viewBox=\"0 0 " << number(size.width) << ' ' << number(size.height)
         << "\" role=\"img\">\n";
  }

  void grid() {
    double free_from = 0;
    for (const Tick& tick : x_.ticks) {
      line(px(tick.value), kTop, px(tick.value), height() - kBottom, "class=\"grid\"");
      const double half = static_cast<double>(tick.text.size()) * kCharacter / 2;
      if (px(tick.value) - half < free_from || px(tick.value) + half > width()) continue;  // they would overlap
      label(px(tick.value), height() - kBottom + 16, tick.text, "text-anchor=\"middle\"");
      free_from = px(tick.value) + half + kCharacter;
    }
    for (const Tick& tick : y_.ticks) {
      line(left(), py(tick.value), width() - kRight, py(tick.value), "class=\"grid\"");
      label(left() - 6, py(tick.value) + 4, tick.text, "text-anchor=\"end\"");
    }
    line(left(), height() - kBottom, width() - kRight, height() - kBottom, "class=\"axis\"");
    line(left(), kTop, left(), height() - kBottom, "class=\"axis\"");
    label((left() + width() - kRight) / 2, height() - 8, x_.label, "text-anchor=\"middle\"");
    upright_label(14, (kTop + height() - kBottom) / 2, y_.label);
  }

  void draw(const Series& series) {
    if (series.points.empty()) return;
    const std::string path = path_through(series.points);
    if (series.fill != Fill::kNone) {
      const std::string bottom = number(height() - kBottom);
      out_ << "<path d=\"" << path << 'L' << number(px(series.points.back().first)) << ',' << bottom << 'L'
           << number(px(series.points.front().first)) << ',' << bottom << "Z\" fill=\"" << series.colour
           << (series.fill == Fill::kSolid ? "\"/>\n" : "\" fill-opacity=\"0.13\"/>\n");
    }
    const char* dashes = series.style == LineStyle::kDashed ? " stroke-dasharray=\"5 4\"" : "";
    out_ << "<path d=\"" << path << "\" fill=\"none\" stroke-width=\"1.6\" stroke=\"" << series.colour << '"'
         << dashes << "/>\n";
  }

  void mark(const Marker& marker, int row) {
    line(px(marker.x), kTop, px(marker.x), height() - kBottom,
         "stroke=\"" + marker.colour + "\" stroke-dasharray=\"1 4\"");
    const bool right = px(marker.x) > (left() + width()) / 2;
    label(px(marker.x) + (right ? -4 : 4), height() - kBottom - 8 - 14 * row, marker.text,
          "fill=\"" + marker.colour + (right ? "\" text-anchor=\"end\"" : "\""));
  }

  std::string finish() {
    out_ << "</svg>\n";
    return out_.str();
  }

 private:
  double px(double value) const { return left() + along(x_, value) * (width() - left() - kRight); }
  double py(double value) const { return height() - kBottom - along(y_, value) * (height() - kTop - kBottom); }

  std::string path_through(const std::vector<std::pair<double, double>>& points) const {
    std::ostringstream path;
    char command = 'M';
    for (const auto& [x, y] : points) {
      path << command << number(px(x)) << ',' << number(py(y));
      command = 'L';
    }
    return path.str();
  }

  void line(double x1, double y1, double x2, double y2, const std::string& attributes) {
    out_ << "<line x1=\"" << number(x1) << "\" y1=\"" << number(y1) << "\" x2=\"" << number(x2) << "\" y2=\""
         << number(y2) << "\" " << attributes << "/>\n";
  }
  void label(double x, double y, const std::string& text, const std::string& attributes) {
    out_ << "<text x=\"" << number(x) << "\" y=\"" << number(y) << "\" " << attributes << '>'
         << escape_html(text) << "</text>\n";
  }
  void upright_label(double x, double y, const std::string& text) {
    std::ostringstream turn;
    turn << "text-anchor=\"middle\" transform=\"rotate(-90 " << number(x) << ' ' << number(y) << ")\"";
    label(x, y, text, turn.str());
  }

  double width() const { return size_.width; }
  double height() const { return size_.height; }
  double left() const { return size_.left; }

  const Axis& x_;
  const Axis& y_;
  const Size& size_;
  std::ostringstream out_;
};

std::string legend(const std::vector<Series>& series) {
  std::string html = "<p class=\"legend\">";
  for (const Series& s : series) {
    if (s.name.empty()) continue;
    const char* border = s.style == LineStyle::kDashed ? "dashed" : "solid";
    const std::string swatch = s.fill == Fill::kSolid ? "border-top:10px solid " : "border-top:2px " + std::string(border) + " ";
    html += "<span><i style=\"" + swatch + s.colour + "\"></i>" + escape_html(s.name) + "</span> ";
  }
  return html + "</p>\n";
}

}  // namespace

std::string plot_as_svg(const Axis& x, const Axis& y, const std::vector<Series>& series,
                        const std::vector<Marker>& markers) {
  std::string html = legend(series);
  for (const Size& size : kSizes) {
    Svg svg(x, y, size);
    svg.grid();
    for (const Series& s : series) svg.draw(s);
    for (std::size_t i = 0; i < markers.size(); ++i) svg.mark(markers[i], static_cast<int>(i));
    html += svg.finish();
  }
  return html;
}

std::string short_bytes(double bytes) {
  constexpr const char* kUnits[] = {" B", " KiB", " MiB", " GiB", " TiB"};
  std::size_t unit = 0;
  for (; bytes >= 1000 && unit + 1 < std::size(kUnits); ++unit) bytes /= 1024;
  return format_fixed(bytes, bytes < 10 && unit > 0 ? 1 : 0) + kUnits[unit];
}

std::vector<Tick> round_ticks(double high, int count) {
  const double rough = high / count;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  double step = power;
  for (const double factor : {1.0, 2.0, 5.0, 10.0}) {
    step = power * factor;
    if (step >= rough) break;
  }
  std::vector<Tick> ticks;
  for (int i = 0; i * step <= high * 1.0001; ++i) {
    const double value = i * step;
    ticks.push_back({value, step < 1 ? format_fixed(value, 1) : format_count(value)});
  }
  return ticks;
}

std::string escape_html(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

}  // namespace index_service

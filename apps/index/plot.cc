#include "apps/index/plot.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "apps/index/format.h"

namespace index_service {
namespace {

constexpr double kWidth = 860, kHeight = 320, kLeft = 78, kRight = 36, kTop = 14, kBottom = 46;

std::string number(double value) { return format_fixed(value, 1); }

/// Position of a value between 0 and 1 along the axis; values outside stick to its ends.
double along(const Axis& axis, double value) {
  if (axis.scale == Scale::kLinear) return std::clamp((value - axis.low) / (axis.high - axis.low), 0.0, 1.0);
  return std::clamp(std::log(std::max(value, axis.low) / axis.low) / std::log(axis.high / axis.low), 0.0,
                    1.0);
}

class Svg {
 public:
  Svg(const Axis& x, const Axis& y) : x_(x), y_(y) {
    out_ << "<svg viewBox=\"0 0 " << number(kWidth) << ' ' << number(kHeight) << "\" role=\"img\">\n";
  }

  void grid() {
    for (const Tick& tick : x_.ticks) {
      line(px(tick.value), kTop, px(tick.value), kHeight - kBottom, "class=\"grid\"");
      label(px(tick.value), kHeight - kBottom + 16, tick.text, "text-anchor=\"middle\"");
    }
    for (const Tick& tick : y_.ticks) {
      line(kLeft, py(tick.value), kWidth - kRight, py(tick.value), "class=\"grid\"");
      label(kLeft - 6, py(tick.value) + 4, tick.text, "text-anchor=\"end\"");
    }
    line(kLeft, kHeight - kBottom, kWidth - kRight, kHeight - kBottom, "class=\"axis\"");
    line(kLeft, kTop, kLeft, kHeight - kBottom, "class=\"axis\"");
    label((kLeft + kWidth - kRight) / 2, kHeight - 8, x_.label, "text-anchor=\"middle\"");
    upright_label(14, (kTop + kHeight - kBottom) / 2, y_.label);
  }

  void draw(const Series& series) {
    if (series.points.empty()) return;
    const std::string path = path_through(series.points);
    if (series.fill == Fill::kToBottom) {
      const std::string bottom = number(kHeight - kBottom);
      out_ << "<path d=\"" << path << 'L' << number(px(series.points.back().first)) << ',' << bottom << 'L'
           << number(px(series.points.front().first)) << ',' << bottom << "Z\" fill=\"" << series.colour
           << "\" fill-opacity=\"0.13\"/>\n";
    }
    const char* dashes = series.style == LineStyle::kDashed ? " stroke-dasharray=\"5 4\"" : "";
    out_ << "<path d=\"" << path << "\" fill=\"none\" stroke-width=\"1.6\" stroke=\"" << series.colour << '"'
         << dashes << "/>\n";
  }

  void mark(const Marker& marker, int row) {
    line(px(marker.x), kTop, px(marker.x), kHeight - kBottom,
         "stroke=\"" + marker.colour + "\" stroke-dasharray=\"1 4\"");
    label(px(marker.x) + 4, kHeight - kBottom - 8 - 14 * row, marker.text, "fill=\"" + marker.colour + "\"");
  }

  std::string finish() {
    out_ << "</svg>\n";
    return out_.str();
  }

 private:
  double px(double value) const { return kLeft + along(x_, value) * (kWidth - kLeft - kRight); }
  double py(double value) const { return kHeight - kBottom - along(y_, value) * (kHeight - kTop - kBottom); }

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

  const Axis& x_;
  const Axis& y_;
  std::ostringstream out_;
};

std::string legend(const std::vector<Series>& series) {
  std::string html = "<p class=\"legend\">";
  for (const Series& s : series) {
    const char* border = s.style == LineStyle::kDashed ? "dashed" : "solid";
    html += "<span><i style=\"border-top:2px " + std::string(border) + " " + s.colour + "\"></i>" +
            escape_html(s.name) + "</span> ";
  }
  return html + "</p>\n";
}

}  // namespace

std::string plot_as_svg(const Axis& x, const Axis& y, const std::vector<Series>& series,
                        const std::vector<Marker>& markers) {
  Svg svg(x, y);
  svg.grid();
  for (const Series& s : series) svg.draw(s);
  for (std::size_t i = 0; i < markers.size(); ++i) svg.mark(markers[i], static_cast<int>(i));
  return legend(series) + svg.finish();
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

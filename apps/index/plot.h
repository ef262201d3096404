// Line plots as inline SVG, enough for the report.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace index_service {

enum class Scale { kLinear, kLog };

struct Tick {
  double value;
  std::string text;
};

struct Axis {
  std::string label;
  Scale scale = Scale::kLinear;
  double low = 0, high = 1;  // of a logarithmic axis: positive
  std::vector<Tick> ticks;
};

enum class LineStyle { kSolid, kDashed };
enum class Fill { kNone, kToBottom, kSolid };  // solid: hides what was drawn before

struct Series {
  std::string name;
  std::string colour;
  std::vector<std::pair<double, double>> points;
  LineStyle style = LineStyle::kSolid;
  Fill fill = Fill::kNone;
};

/// A vertical line at a place on the x axis.
struct Marker {
  double x;
  std::string text;
  std::string colour;
};

/// Twice: for a window of a desktop and for one of a phone, whose letters are larger in proportion. The style sheet
/// of the page shows one of them: classes "wide" and "narrow".
std::string plot_as_svg(const Axis& x, const Axis& y, const std::vector<Series>& series,
                        const std::vector<Marker>& markers = {});

/// About `count` round ticks over a linear axis from 0.
std::vector<Tick> round_ticks(double high, int count);
/// Bytes for an axis or a label: 3 MiB, 12 KiB.
std::string short_bytes(double bytes);
std::string escape_html(const std::string& text);

}  // namespace index_service

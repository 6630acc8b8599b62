// A scatter of measured points as inline SVG text: whiskers for deviations, a reference point with
// its level, lines that join the points of a series. Axes and colours as in chart.h.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace gtrain::train {

struct Mark {
  double x = 0, y = 0;
  double deviation = 0;  // of y; 0 or NaN: no whisker
  std::string label;     // said when pointed at
};

struct Marks {
  std::string name;
  std::vector<Mark> points;
};

struct Scatter {
  std::string title, x_label, y_label;
  std::vector<Marks> series;      // colour classes s0, s1, … in this order
  std::optional<Mark> reference;  // what the others are compared with
};

constexpr double kScatterWidth = 460, kScatterHeight = 330;

// One <svg> of that size at (x, y) of what is around it; x axes begin at 0. Empty without points.
std::string scatter_svg(const Scatter& scatter, double x = 0, double y = 0);

}  // namespace gtrain::train

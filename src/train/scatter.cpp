#include "scatter.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

#include "chart.h"

namespace gtrain::train {
namespace {

constexpr double kLeft = 62, kRight = 14, kTop = 56, kBottom = 46;
constexpr int kColours = 8;

struct Frame {
  double x0 = 0, x1 = 0, y0 = 0, y1 = 0;
  double x(double v) const {
    return kLeft + (v - x0) / (x1 - x0) * (kScatterWidth - kLeft - kRight);
  }
  double y(double v) const {
    return kScatterHeight - kBottom - (v - y0) / (y1 - y0) * (kScatterHeight - kTop - kBottom);
  }
};

bool is_drawn(const Mark& mark) { return std::isfinite(mark.x) && std::isfinite(mark.y); }

double whisker(const Mark& mark) { return std::isfinite(mark.deviation) ? mark.deviation : 0; }

std::optional<Frame> frame_of(const Scatter& scatter) {
  double low = std::numeric_limits<double>::infinity(), high = -low, right = 0;
  const auto take = [&](const Mark& mark) {
    if (!is_drawn(mark)) return;
    low = std::min(low, mark.y - whisker(mark));
    high = std::max(high, mark.y + whisker(mark));
    right = std::max(right, mark.x);
  };
  for (const Marks& s : scatter.series) std::for_each(s.points.begin(), s.points.end(), take);
  if (high < low) return {};  // the reference alone is nothing to look at
  if (scatter.reference) take(*scatter.reference);
  if (high == low) {
    low -= 0.05 * std::max(1e-3, std::abs(low));
    high += 0.05 * std::max(1e-3, std::abs(high));
  }
  if (right <= 0) right = 1;
  const std::vector<double> ys = ticks(low, high, 5);
  return Frame{0, right * 1.04, ys.front(), ys.back()};
}

std::string axes(const Scatter& scatter, const Frame& f) {
  std::string out;
  auto to = std::back_inserter(out);
  const double bottom = kScatterHeight - kBottom, end = kScatterWidth - kRight;
  const std::vector<double> ys = ticks(f.y0, f.y1, 5), xs = ticks(f.x0, f.x1, 5);
  for (const double v : ys) {
    fmt::format_to(to, "<line class='grid' x1='{}' x2='{}' y1='{:.1f}' y2='{:.1f}'/>", kLeft, end,
                   f.y(v), f.y(v));
    fmt::format_to(to, "<text class='tick' text-anchor='end' x='{}' y='{:.1f}'>{}</text>",
                   kLeft - 7, f.y(v) + 4, tick_text(v, ys.size() > 1 ? ys[1] - ys[0] : 1.0));
  }
  for (const double v : xs) {
    if (v > f.x1) continue;
    fmt::format_to(to, "<line class='axis' x1='{0:.1f}' x2='{0:.1f}' y1='{1}' y2='{2}'/>", f.x(v),
                   bottom, bottom + 5);
    fmt::format_to(to, "<text class='tick' text-anchor='middle' x='{:.1f}' y='{}'>{}</text>",
                   f.x(v), bottom + 19, tick_text(v, xs.size() > 1 ? xs[1] - xs[0] : 1.0));
  }
  fmt::format_to(to, "<line class='axis' x1='{}' x2='{}' y1='{}' y2='{}'/>", kLeft, end, bottom,
                 bottom);
  fmt::format_to(to, "<text class='tick' text-anchor='middle' x='{:.1f}' y='{}'>{}</text>",
                 0.5 * (kLeft + end), kScatterHeight - 8, escaped(scatter.x_label));
  fmt::format_to(to,
                 "<text class='tick' text-anchor='middle' transform='translate(13 {:.1f}) "
                 "rotate(-90)'>{}</text>",
                 0.5 * (kTop + bottom), escaped(scatter.y_label));
  return out;
}

std::string title_of(const Mark& mark) {
  std::string out = fmt::format("{}: {:.5g}", mark.label, mark.y);
  if (whisker(mark) > 0) out += fmt::format(" ± {:.2g}", mark.deviation);
  return escaped(fmt::format("{} at {:.4g}", out, mark.x));
}

std::string points_of(const Marks& series, int colour, const Frame& f) {
  std::vector<Mark> points;
  std::copy_if(series.points.begin(), series.points.end(), std::back_inserter(points), is_drawn);
  std::stable_sort(points.begin(), points.end(),
                   [](const Mark& a, const Mark& b) { return a.x < b.x; });
  std::string path, out;
  for (const Mark& mark : points) {
    fmt::format_to(std::back_inserter(path), "{}{:.1f} {:.1f}", path.empty() ? "M" : "L",
                   f.x(mark.x), f.y(mark.y));
    if (whisker(mark) > 0) {
      out += fmt::format("<path class='s{0} thin' d='M{1:.1f} {2:.1f}L{1:.1f} {3:.1f}'/>", colour,
                         f.x(mark.x), f.y(mark.y - mark.deviation), f.y(mark.y + mark.deviation));
    }
    out +=
        fmt::format("<circle class='s{}' cx='{:.1f}' cy='{:.1f}' r='4'><title>{}</title></circle>",
                    colour, f.x(mark.x), f.y(mark.y), title_of(mark));
  }
  return fmt::format("<path class='s{} thin' d='{}'/>", colour, path) + out;
}

std::string reference_of(const Mark& mark, const Frame& f) {
  const double x = f.x(mark.x), y = f.y(mark.y);
  return fmt::format(
      "<line class='mark' x1='{0}' x2='{1}' y1='{3:.1f}' y2='{3:.1f}'/>"
      "<path class='reference' d='M{2:.1f} {4:.1f}l6 6l-6 6l-6 -6z'><title>{5}</title></path>",
      kLeft, kScatterWidth - kRight, x, y, y - 6, title_of(mark));
}

// Names in a row below the title, as wide as their letters are thought to be.
std::string legend(const Scatter& scatter) {
  std::string out;
  double x = kLeft;
  for (std::size_t i = 0; i < scatter.series.size(); ++i) {
    const Marks& s = scatter.series[i];
    out += fmt::format(
        "<circle class='s{}' cx='{:.1f}' cy='36' r='4'/><text class='tick' x='{:.1f}' "
        "y='40'>{}</text>",
        i % kColours, x + 4, x + 12, escaped(s.name));
    x += 26 + 6.6 * static_cast<double>(s.name.size());
  }
  if (scatter.reference) {
    out += fmt::format(
        "<path class='reference' d='M{:.1f} 30l6 6l-6 6l-6 -6z'/><text class='tick' x='{:.1f}' "
        "y='40'>{}</text>",
        x + 4, x + 14, escaped(scatter.reference->label));
  }
  return out;
}

}  // namespace

std::string scatter_svg(const Scatter& scatter, double x, double y) {
  const std::optional<Frame> f = frame_of(scatter);
  if (!f) return "";
  std::string points;
  if (scatter.reference && is_drawn(*scatter.reference)) {
    points += reference_of(*scatter.reference, *f);
  }
  for (std::size_t i = 0; i < scatter.series.size(); ++i) {
    points += points_of(scatter.series[i], static_cast<int>(i) % kColours, *f);
  }
  return fmt::format(
      "<svg x='{0}' y='{1}' width='{2}' height='{3}' viewBox='0 0 {2} {3}' role='img' "
      "aria-label='{4}'><text class='heading' x='{5}' y='17'>{4}</text>{6}{7}{8}</svg>\n",
      x, y, kScatterWidth, kScatterHeight, escaped(scatter.title), kLeft, legend(scatter),
      axes(scatter, *f), points);
}

}  // namespace gtrain::train

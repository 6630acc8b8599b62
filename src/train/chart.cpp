#include "chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

namespace gtrain::train {
namespace {

constexpr double kWidth = 640, kHeight = 300;
constexpr double kLeft = 64, kRight = 18, kTop = 22, kBottom = 42;
constexpr std::size_t kDots = 60;  // more points than this and single ones are not drawn

struct Frame {
  double x0, x1, y0, y1;
  double x(double v) const { return kLeft + (v - x0) / (x1 - x0) * (kWidth - kLeft - kRight); }
  double y(double v) const {
    return kHeight - kBottom - (v - y0) / (y1 - y0) * (kHeight - kTop - kBottom);
  }
};

// Upper end of the values worth showing.
double bulk_top(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const double top = values.back(), low = values.front();
  const double p90 = values[values.size() * 9 / 10];
  return top - low > 4.0 * (p90 - low) && p90 > low ? low + 1.5 * (p90 - low) : top;
}

Frame frame_of(const Chart& chart) {
  std::vector<double> xs, ys;
  for (const Series& s : chart.series) {
    for (const auto& [x, y] : s.points) {
      if (!std::isfinite(y)) continue;
      xs.push_back(x);
      ys.push_back(y);
    }
  }
  if (ys.empty()) return {0, 0, 0, 0};
  double low = *std::min_element(ys.begin(), ys.end()), high = bulk_top(ys);
  if (high <= low) {  // a constant curve sits in the middle
    const double pad = low == 0.0 ? 1.0 : 0.1 * std::abs(low);
    low -= pad;
    high += pad;
  }
  if (low > 0.0 && low < 0.35 * high) low = 0.0;
  const std::vector<double> t = ticks(low, high, 5);
  double x0 = *std::min_element(xs.begin(), xs.end());
  double x1 = *std::max_element(xs.begin(), xs.end());
  if (x1 <= x0) {
    x0 -= 0.5;
    x1 += 0.5;
  }
  return {x0, x1, t.front(), t.back()};
}

std::string axes(const Chart& chart, const Frame& f) {
  std::string out;
  auto to = std::back_inserter(out);
  const std::vector<double> ys = ticks(f.y0, f.y1, 5);
  for (const double v : ys) {
    fmt::format_to(to, "<line class='grid' x1='{}' x2='{}' y1='{:.1f}' y2='{:.1f}'/>", kLeft,
                   kWidth - kRight, f.y(v), f.y(v));
    fmt::format_to(to, "<text class='tick' text-anchor='end' x='{}' y='{:.1f}'>{}</text>",
                   kLeft - 8, f.y(v) + 4, tick_text(v, ys.size() > 1 ? ys[1] - ys[0] : 1.0));
  }
  const std::vector<double> xs = ticks(f.x0, f.x1, 8);
  const double step = xs.size() > 1 ? xs[1] - xs[0] : 1.0;
  for (const double v : xs) {
    if (v < f.x0 || v > f.x1 || (step < 1.0 && v != std::floor(v))) continue;
    fmt::format_to(to, "<line class='axis' x1='{0:.1f}' x2='{0:.1f}' y1='{1}' y2='{2}'/>", f.x(v),
                   kHeight - kBottom, kHeight - kBottom + 5);
    fmt::format_to(to, "<text class='tick' text-anchor='middle' x='{:.1f}' y='{}'>{}</text>",
                   f.x(v), kHeight - kBottom + 19, tick_text(v, std::max(1.0, step)));
  }
  fmt::format_to(to, "<line class='axis' x1='{}' x2='{}' y1='{}' y2='{}'/>", kLeft, kWidth - kRight,
                 kHeight - kBottom, kHeight - kBottom);
  fmt::format_to(to, "<text class='tick' text-anchor='middle' x='{:.1f}' y='{}'>{}</text>",
                 0.5 * (kLeft + kWidth - kRight), kHeight - 6, escaped(chart.x_label));
  return out;
}

std::string mark(const Chart& chart, const Frame& f) {
  if (chart.marked_x < f.x0 || chart.marked_x > f.x1 || chart.mark_label.empty()) return "";
  const double x = f.x(chart.marked_x);
  const bool right_half = x > 0.5 * kWidth;
  return fmt::format(
      "<line class='mark' x1='{0:.1f}' x2='{0:.1f}' y1='{1}' y2='{2}'/>"
      "<text class='tick' text-anchor='{3}' x='{4:.1f}' y='{5}'>{6}</text>",
      x, kTop - 4, kHeight - kBottom, right_half ? "end" : "start", right_half ? x - 5 : x + 5,
      kTop - 8, escaped(chart.mark_label));
}

std::string curve(const Series& s, const Frame& f) {
  std::string path, dots;
  bool pen_down = false;
  for (const auto& [x, y] : s.points) {
    if (!std::isfinite(y)) {
      pen_down = false;
      continue;
    }
    fmt::format_to(std::back_inserter(path), "{}{:.1f} {:.1f}", pen_down ? "L" : "M", f.x(x),
                   f.y(y));
    pen_down = true;
    if (s.points.size() > kDots) continue;
    fmt::format_to(std::back_inserter(dots),
                   "<circle class='s{}' cx='{:.1f}' cy='{:.1f}' r='2.5'><title>{} {:g}: {:.6g}"
                   "</title></circle>",
                   s.colour, f.x(x), f.y(y), escaped(s.name), x, y);
  }
  return fmt::format("<path class='s{}' d='{}'/>", s.colour, path) + dots;
}

}  // namespace

std::vector<double> ticks(double low, double high, int wanted) {
  const double raw = (high - low) / std::max(1, wanted);
  const double power = std::pow(10.0, std::floor(std::log10(raw)));
  double step = power;
  for (const double m : {1.0, 2.0, 5.0, 10.0}) {
    step = m * power;
    if (step >= raw * (1.0 - 1e-9)) break;
  }
  std::vector<double> out;
  const auto first = static_cast<long>(std::floor(low / step + 1e-9));
  const auto last = static_cast<long>(std::ceil(high / step - 1e-9));
  for (long i = first; i <= last; ++i) out.push_back(static_cast<double>(i) * step);
  return out;
}

std::string tick_text(double value, double step) {
  if (value == 0.0) return "0";
  if (std::abs(value) >= 1e5 || step < 1e-4) return fmt::format("{:.3g}", value);
  const int decimals = std::max(0, static_cast<int>(std::ceil(-std::log10(step) - 1e-9)));
  return fmt::format("{:.{}f}", value, decimals);
}

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '"') {
      out += "&quot;";
    } else if (c == '\'') {
      out += "&#39;";
    } else {
      out += c;
    }
  }
  return out;
}

std::string figure_html(const Chart& chart) {
  const Frame f = frame_of(chart);
  if (f.x0 == f.x1) return "";
  std::string legend, curves;
  for (const Series& s : chart.series) {
    if (s.points.empty()) continue;
    if (!s.name.empty()) {
      legend += fmt::format("<span><i class='s{}'></i>{}</span>", s.colour, escaped(s.name));
    }
    curves += curve(s, f);
  }
  std::string id = "clip-";
  for (const char c : chart.title) id += std::isalnum(static_cast<unsigned char>(c)) ? c : '-';
  return fmt::format(
      "<figure><figcaption><b>{}</b><span class='legend'>{}</span></figcaption>"
      "<svg viewBox='0 0 {} {}' role='img' aria-label='{}'>"
      "<clipPath id='{}'><rect x='{}' y='{}' width='{}' height='{}'/></clipPath>"
      "{}{}<g clip-path='url(#{})'>{}</g></svg></figure>\n",
      escaped(chart.title), legend, kWidth, kHeight, escaped(chart.title), id, kLeft - 4, kTop - 4,
      kWidth - kLeft - kRight + 8, kHeight - kTop - kBottom + 8, axes(chart, f), mark(chart, f), id,
      curves);
}

}  // namespace gtrain::train

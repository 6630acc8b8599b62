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

constexpr const char* kStyle = R"css(
:root{color-scheme:light dark;--bg:#fff;--fg:#1c2430;--soft:#5b6675;--line:#e3e7ec;--axis:#9aa4b1;
--c0:#2f6bd8;--c1:#d97706;--c2:#15905f;--c3:#b0348f;--c4:#0e8fa8;--c5:#7a5cd0;--c6:#c0392b;--c7:#6b7280}
@media(prefers-color-scheme:dark){:root{--bg:#14181e;--fg:#e6eaf0;--soft:#9ba7b6;--line:#2a313b;
--axis:#66717f;--c0:#6ea0ff;--c1:#f5a54a;--c2:#4ecb95;--c3:#e57cc8;--c4:#4fc6dc;--c5:#a993f5;
--c6:#f0837a;--c7:#a3adba}}
body{background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,sans-serif;max-width:1340px;
margin:2rem auto;padding:0 1.2rem}
h1{font-size:1.5rem;margin:0 0 .2rem}h2{font-size:1.1rem;margin:2rem 0 .6rem}
.sub{color:var(--soft);margin:0 0 1.2rem}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:.28rem .9rem .28rem 0;text-align:right;border-bottom:1px solid var(--line)}
th:first-child,td:first-child{text-align:left}th{color:var(--soft);font-weight:600}
.facts{display:flex;flex-wrap:wrap;gap:.4rem 2.2rem;margin:1rem 0;padding:0}
.facts div{min-width:6rem}.facts dt{color:var(--soft);font-size:.85rem}.facts dd{margin:0;font-weight:600}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,460px),1fr));gap:1.4rem}
figure{margin:0}figcaption{display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;align-items:baseline}
.legend{color:var(--soft);font-size:.85rem;display:flex;flex-wrap:wrap;gap:0 .9rem}
.legend i{display:inline-block;width:.9rem;height:.2rem;margin-right:.35rem;vertical-align:middle}
svg{width:100%;height:auto;display:block}.grid{stroke:var(--line)}.axis{stroke:var(--axis)}
.mark{stroke:var(--soft);stroke-dasharray:4 4}
path.thin{stroke-width:1.2;opacity:.6}path.reference{fill:var(--fg);stroke:none}
.heading{fill:var(--fg);font:600 14px system-ui,sans-serif}.tick{fill:var(--soft);font:12px system-ui,sans-serif}
path{fill:none;stroke-width:1.8;stroke-linejoin:round}
pre{background:color-mix(in srgb,var(--fg) 5%,var(--bg));padding:1rem;overflow:auto;border-radius:6px;
font-size:13px}
)css";

std::string colour_rules() {
  std::string out;
  for (int c = 0; c < 8; ++c) {
    out += fmt::format(
        "path.s{0}{{stroke:var(--c{0})}}circle.s{0}{{fill:var(--c{0})}}i.s{0}{{background:var(--c{"
        "0})}}"
        "\n",
        c);
  }
  return out;
}

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

std::string page_style() { return kStyle + colour_rules(); }

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

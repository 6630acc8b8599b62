#include "table_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "chart.h"

namespace gtrain::train {
namespace {

constexpr double kGap = 14;

double flops_of(const RowFigures& row) {
  return (std::isnan(row.sparse_flops) ? row.flops : row.sparse_flops) / 1e6;
}

// Relative to the row it was measured beside: absolute times of one machine differ from hour to
// hour. The reference is 100 %.
double inference_of(const RowFigures& row) {
  if (!row.inference || !row.inference->against_seconds) return kUnknown;
  const double own = row.inference->pruned_seconds.value_or(row.inference->seconds);
  return 100 * own / *row.inference->against_seconds;
}

// "tokens" of "gps, tokens 0.75" beside "gps".
std::string series_name(const std::string& label, const std::string& reference) {
  std::string name = label;
  if (name.starts_with(reference)) name = name.substr(reference.size());
  const std::size_t first = name.find_first_not_of(" ,:-");
  name = first == std::string::npos ? label : name.substr(first);
  const std::size_t end = name.find_last_not_of("0123456789.%");
  if (end == std::string::npos) return name;
  const std::string stem = name.substr(0, name.find_last_not_of(' ', end) + 1);
  return stem.empty() ? name : stem;
}

using Abscissa = std::function<double(const RowFigures&)>;

Scatter scatter_of(const FilledTable& table, const RowFigures& reference, const Abscissa& x) {
  const auto mark = [&](const RowFigures& row, double at) {
    return Mark{at, row.spread.mean, row.spread.deviation, row.label};
  };
  Scatter out;
  out.title = reference.data + ": " + reference.label;
  out.y_label = table.split + " " + reference.metric;
  for (const RowFigures& row : table.rows) {
    if (!row.paired || row.paired->against != reference.label) continue;
    if (!std::isfinite(x(row)) || !std::isfinite(row.spread.mean)) continue;
    const std::string name = series_name(row.label, reference.label);
    auto it = std::find_if(out.series.begin(), out.series.end(),
                           [&](const Marks& m) { return m.name == name; });
    if (it == out.series.end()) it = out.series.insert(out.series.end(), {name, {}});
    it->points.push_back(mark(row, x(row)));
  }
  out.reference = mark(reference, x(reference));
  return out;
}

}  // namespace

std::vector<std::vector<Scatter>> plots_of(const FilledTable& table) {
  std::vector<std::vector<Scatter>> out;
  for (const RowFigures& reference : table.rows) {
    const bool paired = std::any_of(table.rows.begin(), table.rows.end(), [&](const auto& row) {
      return row.paired && row.paired->against == reference.label;
    });
    if (!paired) continue;
    const Abscissa inference = [&](const RowFigures& row) {
      return &row == &reference ? 100.0 : inference_of(row);
    };
    const Abscissa epoch = [](const RowFigures& row) { return row.epoch_seconds; };
    const std::pair<const char*, Abscissa> axes[] = {
        {"MFLOPs a graph, zeros left out", flops_of},
        {"inference time, % of the reference's", inference},
        {"seconds an epoch of training", epoch}};
    out.emplace_back();
    for (const auto& [label, x] : axes) {
      Scatter scatter = scatter_of(table, reference, x);
      scatter.x_label = label;
      if (!scatter.series.empty()) out.back().push_back(std::move(scatter));
    }
    if (out.back().empty()) out.pop_back();
  }
  return out;
}

std::string table_svg(const FilledTable& table) {
  std::string panels;
  double y = 0, width = kScatterWidth;
  for (const std::vector<Scatter>& group : plots_of(table)) {
    double x = 0;
    for (const Scatter& scatter : group) {
      panels += scatter_svg(scatter, x, y);
      x += kScatterWidth + kGap;
    }
    width = std::max(width, x - kGap);
    y += kScatterHeight + kGap;
  }
  const double height = std::max(kScatterHeight, y - kGap);
  return fmt::format(
      "<svg xmlns='http://www.w3.org/2000/svg' width='{0}' height='{1}' viewBox='0 0 {0} {1}'>"
      "<style>{2}</style><rect width='100%' height='100%' fill='var(--bg)'/>\n{3}</svg>\n",
      width, height, page_style(), panels);
}

std::string plots_html(const FilledTable& table) {
  std::string out;
  for (const std::vector<Scatter>& group : plots_of(table)) {
    out += "<div class='charts'>";
    for (const Scatter& scatter : group) {
      out += "<figure>" + scatter_svg(scatter) + "</figure>";
    }
    out += "</div>\n";
  }
  return out;
}

}  // namespace gtrain::train

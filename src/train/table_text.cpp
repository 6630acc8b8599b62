#include "table_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <initializer_list>
#include <map>
#include <utility>

#include "chart.h"
#include "gtrain/train/recipe_scalar.h"
#include "table_plot.h"

namespace gtrain::train {
namespace {

using Cells = std::vector<std::string>;
using Escape = std::function<std::string(const std::string&)>;

constexpr const char* kNone = "–";

// What Markdown, LaTeX and HTML show alike.
struct Grid {
  Cells header;
  std::vector<Cells> rows;
  Cells notes;
};

std::string number(double value, const char* unit = "") {
  return std::isnan(value) ? kNone : fmt::format("{}{}", std::llround(value), unit);
}

std::string seconds_text(double seconds) {
  if (std::isnan(seconds)) return kNone;
  return fmt::format("{:.{}f}", seconds,
                     seconds < 1     ? 3
                     : seconds < 10  ? 2
                     : seconds < 100 ? 1
                                     : 0);
}

std::string difference_text(double distance) {
  if (std::isnan(distance)) return kNone;
  if (std::isinf(distance)) return "yes";
  return fmt::format("{}, {:+.1f} SE", std::abs(distance) > 2.0 ? "yes" : "no", distance);
}

// Published as it was printed: value ± deviation (runs).
std::string published_text(const PublishedFigure& p) {
  std::string out = print_number(p.spread.mean);
  if (!std::isnan(p.spread.deviation)) out += " ± " + print_number(p.spread.deviation);
  if (p.spread.n > 0) out += fmt::format(" ({})", p.spread.n);
  return out;
}

std::string parameters_text(const RowFigures& row) {
  std::string out = number(row.parameters);
  const bool stated = row.published && !std::isnan(row.published->parameters);
  if (stated && row.published->parameters != row.parameters) {
    out += fmt::format(" (published {})", number(row.published->parameters));
  }
  return out;
}

// The number of a source among those seen so far, from 1.
std::size_t cite(Cells& sources, const std::string& source) {
  auto it = std::find(sources.begin(), sources.end(), source);
  if (it == sources.end()) it = sources.insert(sources.end(), source);
  return static_cast<std::size_t>(it - sources.begin()) + 1;
}

std::string paired_text(const PairedFigure& p) {
  const std::string mean = std::isnan(p.mean) ? kNone : fmt::format("{:+.4g}", p.mean);
  if (std::isnan(p.low)) return fmt::format("{} ({} pairs)", mean, p.n);
  return fmt::format("{}, 95 % interval [{:+.4g}, {:+.4g}] ({} pairs, Student's t)", mean, p.low,
                     p.high, p.n);
}

// A column that is there only where some row has something to say in it.
struct Column {
  std::string title, note;
  std::string (*cell)(const RowFigures& row);
};

// Seconds as microseconds, and how many times as fast as the row it was measured beside.
std::string inference_text(const RowFigures& row, std::optional<double> seconds) {
  if (!seconds) return kNone;
  std::string out = fmt::format("{:.3g}", *seconds * 1e6);
  const std::optional<double>& other = row.inference->against_seconds;
  if (other && *seconds > 0) out += fmt::format(" ({:.2f}×)", *other / *seconds);
  return out;
}

const std::vector<Column>& sparse_columns() {
  static const std::vector<Column> columns{
      {"MFLOPs/graph", "",
       [](const RowFigures& row) {
         return std::isnan(row.flops) ? kNone : fmt::format("{:.4g}", row.flops / 1e6);
       }},
      {"made sparse", "made sparse: without heads that are off and products with zeros.",
       [](const RowFigures& row) {
         if (std::isnan(row.sparse_flops)) return std::string(kNone);
         return fmt::format("{:.4g} ({:.0f} %)", row.sparse_flops / 1e6,
                            100 * row.sparse_flops / row.flops);
       }},
      {"µs/graph",
       "µs/graph: inference of the first run; pruned: after gtrain prune. ×: as fast as the row "
       "that it is compared with, run in turns on the same graphs.",
       [](const RowFigures& row) {
         return row.inference ? inference_text(row, row.inference->seconds) : kNone;
       }},
      {"pruned", "",
       [](const RowFigures& row) {
         return row.inference ? inference_text(row, row.inference->pruned_seconds) : kNone;
       }},
      {"worse by at most",
       "worse by at most: one-sided 95 % bound of the loss against the row that it is compared "
       "with, run by run (Student's t).",
       [](const RowFigures& row) {
         const bool known = row.paired && !std::isnan(row.paired->worse);
         return known ? fmt::format("{:+.4f}", row.paired->worse) : kNone;
       }}};
  return columns;
}

void add_sparse_columns(const FilledTable& table, Grid& grid) {
  for (const Column& column : sparse_columns()) {
    Cells cells;
    for (const RowFigures& row : table.rows) cells.push_back(column.cell(row));
    if (std::all_of(cells.begin(), cells.end(), [](const auto& c) { return c == kNone; })) continue;
    grid.header.push_back(column.title);
    for (std::size_t i = 0; i < cells.size(); ++i) grid.rows[i].push_back(cells[i]);
    if (!column.note.empty()) grid.notes.push_back(column.note);
  }
  std::map<std::string, Cells> not_pruned;  // rows by reason
  for (const RowFigures& row : table.rows) {
    if (row.inference && !row.inference->not_pruned.empty()) {
      not_pruned[row.inference->not_pruned].push_back(row.label);
    }
  }
  for (const auto& [reason, rows] : not_pruned) {
    grid.notes.push_back(fmt::format("Not pruned: {}: {}", fmt::join(rows, "; "), reason));
  }
}

Grid grid_of(const FilledTable& table) {
  Grid grid{{"row", "data", "metric", table.split, "runs", "published", "differs", "parameters",
             "s/epoch", "peak MiB"},
            {},
            {}};
  Cells sources;
  bool retrained = false;
  for (const RowFigures& row : table.rows) {
    std::string published = kNone;
    if (row.published) {
      published = published_text(*row.published);
      if (row.published->retrained) published += " †";
      retrained = retrained || row.published->retrained;
      if (!row.published->source.empty()) {
        published += fmt::format(" [{}]", cite(sources, row.published->source));
      }
    }
    std::string runs = fmt::format("{}", row.spread.n);
    if (row.spread.n != row.wanted) runs += fmt::format(" of {}", row.wanted);
    grid.rows.push_back({row.label, row.data, row.metric.empty() ? kNone : row.metric,
                         spread_text(row.spread), runs, published, difference_text(row.distance),
                         parameters_text(row), seconds_text(row.epoch_seconds),
                         number(row.peak_bytes / (1 << 20))});
  }
  grid.notes.push_back(
      "± is the unbiased standard deviation over runs; differs: by more than two standard errors "
      "of the difference (SE).");
  add_sparse_columns(table, grid);
  for (const RowFigures& row : table.rows) {
    if (!row.paired) continue;
    grid.notes.push_back(fmt::format("{} minus {}, by seed and fold: {}", row.label,
                                     row.paired->against, paired_text(*row.paired)));
  }
  if (retrained) {
    grid.notes.push_back(
        "† published for a training other than this row's (budget, changed keys).");
  }
  for (std::size_t i = 0; i < sources.size(); ++i) {
    grid.notes.push_back(fmt::format("[{}] {}", i + 1, sources[i]));
  }
  for (const RowFigures& row : table.rows) {
    for (const std::string& run : row.failed) {
      grid.notes.push_back(fmt::format("Failed, not counted: {}: {}", row.label, run));
    }
    if (!row.pending.empty()) {
      grid.notes.push_back(fmt::format("To go: {}: {}", row.label, fmt::join(row.pending, ", ")));
    }
  }
  for (const StaleFigures& s : table.stale) {
    grid.notes.push_back(fmt::format("Stale, not counted: {}: {} over {} runs in {}: {}", s.label,
                                     spread_text(s.spread), s.spread.n, s.directory, s.reason));
  }
  return grid;
}

using Replacements = std::initializer_list<std::pair<std::string_view, std::string_view>>;

std::string replaced(const std::string& text, Replacements table) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const auto hit = std::find_if(table.begin(), table.end(), [&](const auto& entry) {
      return text.compare(at, entry.first.size(), entry.first) == 0;
    });
    if (hit == table.end()) {
      out += text[at++];
    } else {
      out += hit->second;
      at += hit->first.size();
    }
  }
  return out;
}

std::string escape_markdown(const std::string& text) {
  return replaced(text, {{"|", "\\|"}, {"\n", " "}, {"<", "&lt;"}});
}

std::string escape_html(const std::string& text) {
  return replaced(text, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"\n", "<br>"}});
}

std::string escape_latex(const std::string& text) {
  return replaced(text, {{"\\", "\\textbackslash{}"},
                         {"&", "\\&"},
                         {"%", "\\%"},
                         {"$", "\\$"},
                         {"#", "\\#"},
                         {"_", "\\_"},
                         {"{", "\\{"},
                         {"}", "\\}"},
                         {"~", "\\textasciitilde{}"},
                         {"^", "\\textasciicircum{}"},
                         {"±", "$\\pm$"},
                         {"†", "$\\dagger$"},
                         {"–", "--"},
                         {"\n", " "}});
}

std::string joined_cells(const Cells& cells, const char* between, const Escape& escape) {
  Cells out;
  for (const std::string& cell : cells) out.push_back(escape(cell));
  return fmt::format("{}", fmt::join(out, between));
}

std::string markdown(const FilledTable& table) {
  const Grid grid = grid_of(table);
  const auto line = [](const Cells& cells) {
    return "| " + joined_cells(cells, " | ", escape_markdown) + " |\n";
  };
  std::string out = fmt::format("# {}\n\n", table.title) + line(grid.header) + "|";
  for (std::size_t i = 0; i < grid.header.size(); ++i) out += i < 3 ? "---|" : "---:|";
  out += "\n";
  for (const Cells& row : grid.rows) out += line(row);
  out += "\n";
  for (const std::string& note : grid.notes) out += "- " + escape_markdown(note) + "\n";
  return out;
}

std::string latex(const FilledTable& table) {
  const Grid grid = grid_of(table);
  const auto line = [](const Cells& cells) {
    return joined_cells(cells, " & ", escape_latex) + " \\\\\n";
  };
  std::string out = fmt::format("% {}; needs \\usepackage{{booktabs}}\n", table.title);
  out += fmt::format("\\begin{{tabular}}{{lll{}}}\n\\toprule\n",
                     std::string(grid.header.size() - 3, 'r'));
  out += line(grid.header) + "\\midrule\n";
  for (const Cells& row : grid.rows) out += line(row);
  out += "\\bottomrule\n\\end{tabular}\n";
  for (const std::string& note : grid.notes) out += "\n\\noindent " + escape_latex(note) + "\n";
  return out;
}

std::string html(const FilledTable& table) {
  const Grid grid = grid_of(table);
  const auto line = [](const Cells& cells, const std::string& tag) {
    const std::string between = fmt::format("</{0}><{0}>", tag);
    return fmt::format("<tr><{0}>{1}</{0}></tr>\n", tag,
                       joined_cells(cells, between.c_str(), escape_html));
  };
  std::string out = fmt::format(
      "<!doctype html>\n<meta "
      "charset=\"utf-8\">\n<title>{0}</title>\n<style>{1}td{{white-space:nowrap}}</style>\n"
      "<h1>{0}</h1>\n<table>\n",
      escape_html(table.title), page_style());
  out += line(grid.header, "th");
  for (const Cells& row : grid.rows) out += line(row, "td");
  out += "</table>\n<ul>\n";
  for (const std::string& note : grid.notes) out += "<li>" + escape_html(note) + "</li>\n";
  return out + "</ul>\n" + plots_html(table);
}

}  // namespace

std::string spread_text(const Spread& spread) {
  if (std::isnan(spread.mean)) return kNone;
  const bool spreads = spread.deviation > 0.0;
  const double unit = spreads ? spread.deviation : std::abs(spread.mean);
  const int first = unit > 0.0 ? static_cast<int>(std::floor(std::log10(unit))) : 0;
  const int decimals = std::clamp((spreads ? 1 : 3) - first, 0, 8);
  std::string out = fmt::format("{:.{}f}", spread.mean, decimals);
  if (!std::isnan(spread.deviation)) out += fmt::format(" ± {:.{}f}", spread.deviation, decimals);
  return out;
}

std::string table_text(const FilledTable& table, const std::string& format) {
  if (format == "csv") return table_csv(table);
  if (format == "json") return table_json(table);
  if (format == "latex") return latex(table);
  if (format == "svg") return table_svg(table);
  return format == "html" ? html(table) : markdown(table);
}

}  // namespace gtrain::train

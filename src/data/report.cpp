#include "gtrain/data/report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "gtrain/base/error.h"
#include "gtrain/base/log.h"
#include "gtrain/data/catalog.h"
#include "gtrain/data/container.h"
#include "gtrain/data/folder.h"
#include "gtrain/data/import.h"
#include "gtrain/data/store.h"

namespace gtrain::data {
namespace {

constexpr std::size_t kMostValues = 32;

// 41127 -> "41,127".
std::string grouped(std::int64_t n) {
  const std::string digits = fmt::format("{}", n);
  std::string out;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) out += ',';
    out += digits[i];
  }
  return out;
}

class RangeBuilder {
 public:
  void add(double value) {
    low_ = std::min(low_, value);
    high_ = std::max(high_, value);
    sum_ += value;
    ++count_;
  }
  Range range() const {
    if (count_ == 0) return {};
    return {low_, sum_ / static_cast<double>(count_), high_};
  }

 private:
  double low_ = std::numeric_limits<double>::infinity();
  double high_ = -std::numeric_limits<double>::infinity();
  double sum_ = 0;
  std::int64_t count_ = 0;
};

// Upper bound of the power-of-two bin of n: 0, 1, 2, 4, 8, ….
std::int64_t bin_of(std::int64_t n) {
  return n == 0 ? 0 : static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(n)));
}

// Entries of a row that stand for a bond when each undirected pair counts once.
std::int64_t bonds_in_row(const Dataset& d, std::int64_t row, std::int64_t local,
                          std::int64_t& loops) {
  const auto* start = d.row_start.as<std::int64_t>();
  const auto* source = d.source.as<std::int32_t>();
  std::int64_t bonds = 0;
  bool looped = false;
  for (std::int64_t e = start[row]; e < start[row + 1]; ++e) {
    bonds += source[e] < local ? 1 : 0;
    looped = looped || source[e] == local;
  }
  loops += looped ? 1 : 0;
  return bonds + (looped ? 1 : 0);
}

void structure(const Dataset& d, Statistics& s) {
  const auto* node_start = d.node_start.as<std::int64_t>();
  const auto* edge_start = d.edge_start.as<std::int64_t>();
  const auto* row_start = d.row_start.as<std::int64_t>();
  std::vector<bool> touched(static_cast<std::size_t>(d.nodes()));
  RangeBuilder nodes, bonds, degree;
  for (std::int64_t g = 0; g < d.graphs(); ++g) {
    const std::int64_t n = node_start[g + 1] - node_start[g];
    std::int64_t own = 0;
    for (std::int64_t r = node_start[g]; r < node_start[g + 1]; ++r) {
      own += bonds_in_row(d, r, r - node_start[g], s.self_loops);
      const std::int64_t in = row_start[r + 1] - row_start[r];
      degree.add(static_cast<double>(in));
      ++s.degree_histogram[bin_of(in)];
      if (in > 0) touched[static_cast<std::size_t>(r)] = true;
      for (std::int64_t e = row_start[r]; e < row_start[r + 1]; ++e) {
        touched[static_cast<std::size_t>(node_start[g] + d.source.as<std::int32_t>()[e])] = true;
      }
    }
    const std::int64_t stored = edge_start[g + 1] - edge_start[g];
    if (!d.info.undirected) own = stored;
    s.bonds += own;
    s.empty_graphs += n == 0 ? 1 : 0;
    s.edgeless_graphs += stored == 0 ? 1 : 0;
    nodes.add(static_cast<double>(n));
    bonds.add(static_cast<double>(own));
    ++s.size_histogram[bin_of(n)];
  }
  s.isolated_nodes = std::count(touched.begin(), touched.end(), false);
  s.nodes_per_graph = nodes.range();
  s.bonds_per_graph = bonds.range();
  s.in_degree = degree.range();
}

LabelStatistics label_column(const Dataset& d, std::int64_t column) {
  LabelStatistics s;
  RangeBuilder range;
  double square = 0;
  visit(d.labels, [&](const auto* p) {
    for (std::int64_t r = 0; r < d.labels.rows; ++r) {
      const auto value = static_cast<double>(p[r * d.labels.width + column]);
      const bool ids = is_class(d.info.task) || is_subtoken(d.info.task);
      if (std::isnan(value) || (ids && value < 0)) {
        ++s.missing;
        continue;
      }
      ++s.present;
      range.add(value);
      square += value * value;
      const bool whole = value == std::floor(value) && std::abs(value) < 1e9;
      if (!is_regression(d.info.task) && whole && s.count.size() <= kMostValues) {
        ++s.count[static_cast<std::int64_t>(value)];
      }
    }
  });
  if (s.count.size() > kMostValues) s.count.clear();
  const Range seen = range.range();
  s.min = seen.min;
  s.max = seen.max;
  s.mean = seen.mean;
  if (s.present > 0) {
    const double variance = square / static_cast<double>(s.present) - s.mean * s.mean;
    s.deviation = std::sqrt(std::max(0.0, variance));
  }
  return s;
}

std::string histogram_text(const std::map<std::int64_t, std::int64_t>& histogram) {
  std::string out;
  for (const auto& [upper, count] : histogram) {
    const std::int64_t lower = upper <= 2 ? upper : upper / 2 + 1;
    const std::string bin =
        lower == upper ? fmt::format("{}", upper) : fmt::format("{}-{}", lower, upper);
    out += fmt::format("{}{}: {}", out.empty() ? "" : ", ", bin, grouped(count));
  }
  return out;
}

std::string label_text(const LabelStatistics& s) {
  std::string out = fmt::format("{} present, {} missing", grouped(s.present), grouped(s.missing));
  if (s.present == 0) return out;
  if (s.count.empty()) {
    return out + fmt::format(", {:.4g} to {:.4g}, mean {:.4g}, std {:.4g}", s.min, s.max, s.mean,
                             s.deviation);
  }
  for (const auto& [value, count] : s.count) out += fmt::format(", {}: {}", value, grouped(count));
  return out;
}

std::string column_text(const Column& column, const std::vector<std::int64_t>& categories) {
  if (column.empty()) return "none";
  std::string out = fmt::format("{} {}", column.width, name_of(column.dtype));
  if (categories.empty()) return out + (column.integer() ? ", numbers" : "");
  if (categories.size() > 16) return out + ", categories";
  return out + fmt::format(", categories {}", fmt::join(categories, " "));
}

std::string splits_text(const Dataset& d) {
  std::string out;
  for (const auto& [name, s] : d.splits) {
    out += fmt::format("split            {}: {} train, {} valid, {} test {}\n", name,
                       grouped(static_cast<std::int64_t>(s.train.size())),
                       grouped(static_cast<std::int64_t>(s.valid.size())),
                       grouped(static_cast<std::int64_t>(s.test.size())),
                       d.single_graph() ? "nodes" : "graphs");
  }
  return out;
}

std::string card_text(const Card& card) {
  std::string out = fmt::format("title            {}\nsource           {}\nlicence          {}\n",
                                card.title, card.source, card.licence);
  for (const Published& p : card.published) {
    out += fmt::format("published        {} {}{} ({})\n", p.model, p.value,
                       p.std ? fmt::format(" ± {}", *p.std) : "", p.source);
  }
  return out;
}

// A folder that carries a catalogue name, such as ogbg-molhiv, is described by that card unless the
// options say otherwise: whoever only looks at data need not know its task.
DatasetOptions with_card(DatasetOptions options) {
  if (!options.name.empty() || !options.task.empty() || !is_folder(options.path) ||
      std::filesystem::exists(std::filesystem::path(options.path) / "card.yaml")) {
    return options;
  }
  std::string folder = std::filesystem::weakly_canonical(options.path).filename().string();
  for (const Listing& listing : list_datasets()) {
    std::vector<std::string> names = listing.card.folders;
    names.push_back(listing.card.name);
    for (std::string& name : names) std::replace(name.begin(), name.end(), '_', '-');
    std::replace(folder.begin(), folder.end(), '_', '-');
    if (std::find(names.begin(), names.end(), folder) == names.end()) continue;
    base::note(fmt::format("{}: taken for {}, with its card", options.path, listing.card.name));
    options.name = listing.card.name;
    break;
  }
  return options;
}

}  // namespace

Statistics statistics(const Dataset& dataset) {
  Statistics s;
  s.graphs = dataset.graphs();
  s.nodes = dataset.nodes();
  s.edges = dataset.edges();
  structure(dataset, s);
  for (std::int64_t c = 0; c < dataset.labels.width; ++c) {
    s.labels.push_back(label_column(dataset, c));
  }
  return s;
}

std::string describe_info(const DatasetOptions& asked) {
  const DatasetOptions options = with_card(asked);
  const Opened opened = open_dataset(options);
  const Dataset& d = opened.dataset;
  std::string out = fmt::format("name             {}\n", d.info.name);
  if (const auto card = locate(options).card) out += card_text(*card);
  out += fmt::format("task             {}{}\n", name_of(d.info.task),
                     is_class(d.info.task) ? fmt::format(", {} classes", d.info.classes) : "");
  out += fmt::format("metric           {}\n", d.info.metric);
  out += fmt::format("graphs           {}\nnodes            {}\nedges            {} directed{}\n",
                     grouped(d.graphs()), grouped(d.nodes()), grouped(d.edges()),
                     d.info.undirected ? ", each with its reverse" : "");
  out += fmt::format("node features    {}\n", column_text(d.node_features, d.info.node_categories));
  out += fmt::format("edge features    {}\n", column_text(d.edge_features, d.info.edge_categories));
  out += fmt::format("label columns    {}\n", d.labels.width);
  out += splits_text(d);
  out += fmt::format("default split    {}\nstore            {}\nhash             {}\n",
                     opened.default_split.empty() ? "none" : opened.default_split,
                     opened.store.string(), d.info.hash);
  return out;
}

std::string describe_stats(const DatasetOptions& asked) {
  const DatasetOptions options = with_card(asked);
  const Opened opened = open_dataset(options);
  const Dataset& d = opened.dataset;
  const Statistics s = statistics(d);
  const char* bonds = d.info.undirected ? "bonds" : "edges";
  std::string out =
      fmt::format("{}: {} graphs, {:.1f} nodes, {:.1f} {} on average\n", d.info.name,
                  grouped(s.graphs), s.nodes_per_graph.mean, s.bonds_per_graph.mean, bonds);
  out += fmt::format("nodes            {} in all, {} to {} a graph\n", grouped(s.nodes),
                     s.nodes_per_graph.min, s.nodes_per_graph.max);
  out +=
      fmt::format("{:<16} {} in all, {} to {} a graph ({} directed edges stored)\n", bonds,
                  grouped(s.bonds), s.bonds_per_graph.min, s.bonds_per_graph.max, grouped(s.edges));
  out += fmt::format("in-degree        {} to {}, mean {:.2f}\n", s.in_degree.min, s.in_degree.max,
                     s.in_degree.mean);
  out += fmt::format(
      "odd              {} self loops, {} isolated nodes, {} graphs without edges, "
      "{} without nodes\n",
      grouped(s.self_loops), grouped(s.isolated_nodes), grouped(s.edgeless_graphs),
      grouped(s.empty_graphs));
  out += fmt::format("graphs by nodes  {}\n", histogram_text(s.size_histogram));
  out += fmt::format("nodes by degree  {}\n", histogram_text(s.degree_histogram));
  for (std::size_t c = 0; c < s.labels.size(); ++c) {
    out += fmt::format("label {:<10} {}\n", c, label_text(s.labels[c]));
  }
  return out + splits_text(d);
}

std::string verify_store(const std::filesystem::path& path) {
  const Dataset d = read_store(path);
  return fmt::format("{}: ok; {} graphs, {} nodes, {} directed edges, every hash matches ({})\n",
                     path.string(), grouped(d.graphs()), grouped(d.nodes()), grouped(d.edges()),
                     d.info.hash);
}

// A store replaces nothing but a store: a mistyped OUT would cost the file that has the name.
void require_store_name(const std::filesystem::path& out) {
  if (out.extension() != ".h5") {
    throw base::RecipeError(
        fmt::format("{}: does not end in .h5; expected the name of a store", out.string()));
  }
  std::error_code error;
  if (std::filesystem::exists(out, error) && !is_container(out)) {
    throw base::DataError(fmt::format(
        "{}: is there and no gtrain store; expected a store to replace or a name that is free",
        out.string()));
  }
}

void import_folder(const DatasetOptions& asked, const std::filesystem::path& out) {
  require_store_name(out);
  const DatasetOptions options = with_card(asked);
  const Located located = locate(options);
  if (located.path.extension() == ".h5") {
    throw base::DataError(
        fmt::format("{}: is a store already; expected an OGB-style folder", located.path.string()));
  }
  import_store(located, rules_for(located, options), out);
}

}  // namespace gtrain::data

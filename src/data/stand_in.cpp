#include "gtrain/data/stand_in.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>
#include <vector>

#include "gtrain/base/durable.h"
#include "gtrain/base/error.h"
#include "gtrain/base/random.h"
#include "gtrain/data/catalog.h"
#include "gtrain/data/feature.h"
#include "gtrain/data/import.h"
#include "gtrain/data/pack.h"
#include "gtrain/data/vocabulary.h"

namespace gtrain::data {
namespace {

using base::Random;

constexpr std::int64_t kMostNodesOfOneGraph = 1000;
constexpr double kNodesInAll = 4000;

struct Sizes {
  std::int64_t graphs = 0;
  double nodes = 0, edges = 0;  // per graph
};

Sizes sizes_of(const Card& card, Task task, const StandInOptions& options) {
  const auto mean = [&](const std::optional<double>& said, const std::optional<std::int64_t>& total,
                        const char* what) {
    if (said) return *said;
    if (total && card.graphs && *card.graphs > 0) {
      return static_cast<double>(*total) / static_cast<double>(*card.graphs);
    }
    throw base::RecipeError(
        fmt::format("{}: the card says neither shape.{} nor {} and graphs; expected one of them",
                    card.name, what, what));
  };
  Sizes sizes;
  sizes.nodes = mean(card.shape.nodes, card.nodes, "nodes");
  sizes.edges = mean(card.shape.edges, card.edges, "edges");
  if (card.graphs == 1 && level_of(task) == Level::kNode) {
    const double most = std::min(sizes.nodes, static_cast<double>(kMostNodesOfOneGraph));
    sizes.edges *= most / sizes.nodes;
    sizes.nodes = most;
    sizes.graphs = 1;
    return sizes;
  }
  sizes.graphs = options.graphs > 0
                     ? options.graphs
                     : std::clamp<std::int64_t>(std::llround(kNodesInAll / sizes.nodes), 10, 60);
  return sizes;
}

using Ends = std::vector<std::pair<std::int64_t, std::int64_t>>;

// A tree whose parents lie close by, as chains do, and chords up to `count` distinct edges.
Ends random_edges(std::int64_t nodes, std::int64_t count, Random& random) {
  const std::int64_t most = nodes * (nodes - 1) / 2;
  std::set<std::pair<std::int64_t, std::int64_t>> seen;
  Ends edges;
  const auto join = [&](std::int64_t a, std::int64_t b) {
    if (a != b && seen.emplace(std::min(a, b), std::max(a, b)).second) edges.emplace_back(a, b);
  };
  for (std::int64_t i = 1; i < nodes; ++i) {
    const std::int64_t reach = std::min<std::int64_t>(i, 4);
    join(i - 1 - static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(reach))), i);
  }
  const auto any = [&] {
    return static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(nodes)));
  };
  const auto wanted = static_cast<std::size_t>(std::min(count, most));
  while (edges.size() < wanted) join(any(), any());
  return edges;
}

Column int64_column(const char* name, Per per, const std::vector<std::int64_t>& values,
                    std::int64_t width) {
  auto out =
      make_column<std::int64_t>(name, per, static_cast<std::int64_t>(values.size()) / width, width);
  std::copy(values.begin(), values.end(), out.data);
  return out.column;
}

void add_graphs(Folder& f, const Sizes& sizes, bool doubled, Random& random) {
  std::vector<std::int64_t> nodes, counts, ends;
  for (std::int64_t g = 0; g < sizes.graphs; ++g) {
    const double scale = sizes.graphs == 1 ? 1.0 : 0.5 + random.uniform();
    const std::int64_t n = std::max<std::int64_t>(2, std::llround(scale * sizes.nodes));
    const Ends edges =
        random_edges(n, std::llround(scale * sizes.edges / (doubled ? 1 : 2)), random);
    for (const auto& [a, b] : edges) {
      ends.insert(ends.end(), {a, b});
      if (!doubled) ends.insert(ends.end(), {b, a});
    }
    nodes.push_back(n);
    counts.push_back(static_cast<std::int64_t>(edges.size()) * (doubled ? 1 : 2));
  }
  f.num_nodes = int64_column("num_nodes", Per::kGraph, nodes, 1);
  f.num_edges = int64_column("num_edges", Per::kGraph, counts, 1);
  f.edges = int64_column("edges", Per::kEdge, ends, 2);
}

// Random categories, or numbers around 0.
Column random_features(const char* name, Per per, std::int64_t rows,
                       const std::vector<std::int64_t>& categories, std::int64_t columns,
                       Random& random) {
  if (categories.empty()) {
    auto out = make_column<float>(name, per, columns == 0 ? 0 : rows, columns);
    for (std::int64_t i = 0; i < rows * columns; ++i) {
      out.data[i] = static_cast<float>(2 * random.uniform() - 1);
    }
    return out.column;
  }
  const auto width = static_cast<std::int64_t>(categories.size());
  auto out = make_column<std::int32_t>(name, per, rows, width);
  for (std::int64_t i = 0; i < rows * width; ++i) {
    const auto count = categories[static_cast<std::size_t>(i % width)];
    out.data[i] = static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(count)));
  }
  return out.column;
}

Column random_labels(const PackRules& rules, Per per, std::int64_t rows, std::int64_t width,
                     Random& random) {
  auto out = make_column<float>("labels", per, rows, width);
  const auto classes = static_cast<std::uint64_t>(std::max<std::int64_t>(2, rules.classes));
  for (std::int64_t i = 0; i < rows * width; ++i) {
    const std::int64_t turn = i / width + i % width;  // both values occur in every part of a split
    out.data[i] = is_regression(rules.task) ? static_cast<float>(2 * random.uniform() - 1)
                  : is_binary(rules.task)   ? static_cast<float>(turn % 2)
                                            : static_cast<float>(random.below(classes));
  }
  return out.column;
}

void add_pairs(Folder& f, double per_graph, Random& random) {
  std::vector<std::int64_t> counts, pairs;
  for (std::int64_t g = 0; g < f.num_nodes.rows; ++g) {
    const auto nodes = static_cast<std::uint64_t>(f.num_nodes.as<std::int64_t>()[g]);
    const std::int64_t count = std::max<std::int64_t>(2, std::llround(per_graph));
    for (std::int64_t k = 0; k < count; ++k) {
      const std::uint64_t a = random.below(nodes);
      const std::uint64_t b = (a + 1 + random.below(nodes - 1)) % nodes;
      pairs.insert(pairs.end(), {static_cast<std::int64_t>(a), static_cast<std::int64_t>(b)});
    }
    counts.push_back(count);
  }
  f.num_pairs = int64_column("num_pairs", Per::kGraph, counts, 1);
  f.pairs = int64_column("pairs", Per::kEdge, pairs, 2);
}

std::int64_t total(const Column& counts) {
  const auto* p = counts.as<std::int64_t>();
  std::int64_t sum = 0;
  for (std::int64_t g = 0; g < counts.rows; ++g) sum += p[g];
  return sum;
}

std::map<std::string, Split> random_splits(const std::string& scheme, std::int64_t ids) {
  Split split;
  for (std::int64_t i = 0; i < ids; ++i) {
    (i % 5 < 3 ? split.train : i % 5 == 3 ? split.valid : split.test).push_back(i);
  }
  std::map<std::string, Split> splits;
  for (const char* prefix : {"fold", "split"}) {
    if (!scheme.starts_with(prefix)) continue;
    for (int k = 0; k < 10; ++k) splits[fmt::format("{}{}", prefix, k)] = split;
  }
  splits[scheme.empty() ? "random" : scheme] = split;
  return splits;
}

Folder make_folder(const Card& card, const PackRules& rules, const StandInOptions& options) {
  Random random(base::key(options.seed, base::Purpose::kGenerate));
  Folder f;
  f.path = card.name + " (stand-in)";
  const Sizes sizes = sizes_of(card, rules.task, options);
  add_graphs(f, sizes, rules.add_inverse_edge, random);
  const Level level = level_of(rules.task);
  const std::int64_t nodes = total(f.num_nodes);
  f.node_features = random_features("node_features", Per::kNode, nodes,
                                    stated_node_categories(rules), card.shape.node_columns, random);
  f.edge_features = random_features("edge_features", Per::kEdge, f.edges.rows,
                                    stated_edge_categories(rules), card.shape.edge_columns, random);
  if (level == Level::kEdge) add_pairs(f, card.shape.pairs, random);
  const std::int64_t rows = level == Level::kGraph  ? sizes.graphs
                            : level == Level::kNode ? nodes
                                                    : f.pairs.rows;
  const Per per = level == Level::kNode ? Per::kNode : Per::kGraph;
  f.labels = random_labels(rules, per, rows, card.shape.labels, random);
  const bool single = sizes.graphs == 1 && level == Level::kNode;
  f.splits = random_splits(rules.split, single ? nodes : sizes.graphs);
  for (const char* key : {"edges", "labels", "num_nodes", "pairs"}) f.file[key] = f.path;
  return f;
}

// Texts of a vocabulary of the card's size, in the form that pack gives them.
void set_tokens(Dataset& dataset, std::int64_t words, std::uint64_t seed) {
  DatasetInfo& info = dataset.info;
  info.task = Task::kGraphSubtoken;
  info.classes = words;
  info.positions = kTokenPositions;
  for (std::int64_t i = 0; i + 2 < words; ++i) info.vocabulary.push_back(fmt::format("w{}", i));
  info.vocabulary.insert(info.vocabulary.end(), {"__UNK__", "__EOS__"});
  Random random(base::key(seed, base::Purpose::kGenerate, 1));
  auto out = make_column<std::int64_t>("labels", Per::kGraph, dataset.graphs(), kTokenPositions);
  for (std::int64_t i = 0; i < dataset.graphs() * kTokenPositions; ++i) {
    const bool ended = i % kTokenPositions >= 3;
    out.data[i] =
        ended ? -1 : static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(words)));
  }
  dataset.labels = out.column;
}

Dataset packed(const Card& card, PackRules rules, const StandInOptions& options) {
  const bool texts = is_subtoken(rules.task);
  if (texts) rules.task = Task::kGraphRegression;
  Dataset dataset = pack(make_folder(card, rules, options), rules);
  const std::int64_t words = card.classes > 2 ? card.classes : kVocabularyWords + 2;
  if (texts) set_tokens(dataset, words, options.seed);
  return dataset;
}

Opened opened_from(const Card& card, const DatasetOptions& said, const StandInOptions& options) {
  const PackRules rules = rules_for(Located{card.name, card}, said);
  Opened opened{packed(card, rules, options), {}, rules.split};
  Dataset& dataset = opened.dataset;
  dataset.info.hash = base::hash_hex(fmt::format("stand-in {} {} {} {}", card.name, options.seed,
                                                 dataset.nodes(), dataset.edges()));
  const std::string features = said.features.empty() ? card.features : said.features;
  if (made_from_graph(features)) apply_features(dataset, features, said.degree_cap);
  if (opened.default_split.empty()) opened.default_split = dataset.splits.begin()->first;
  return opened;
}

}  // namespace

Dataset stand_in(const Card& card, const StandInOptions& options) {
  DatasetOptions said;
  said.name = card.name;
  return opened_from(card, said, options).dataset;
}

Opened open_stand_in(const DatasetOptions& dataset, const StandInOptions& options) {
  const auto card = dataset.name.empty() ? std::nullopt : find_card(dataset.name);
  if (!card) {
    throw base::RecipeError(fmt::format(
        "dataset.name: {}: no card of that name; expected one, to make data in its likeness",
        dataset.name.empty() ? "(none)" : dataset.name));
  }
  return opened_from(*card, dataset, options);
}

}  // namespace gtrain::data

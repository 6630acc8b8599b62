#include "gtrain/data/open.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <chrono>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "gtrain/base/durable.h"
#include "gtrain/base/error.h"
#include "gtrain/base/log.h"
#include "gtrain/data/catalog.h"
#include "gtrain/data/feature.h"
#include "gtrain/data/import.h"
#include "gtrain/data/label.h"
#include "gtrain/data/store.h"

namespace gtrain::data {
namespace {

namespace fs = std::filesystem;

// Labels of a class task with NaN for -1, the missing ones.
Column with_gaps(const Column& classes) {
  auto out = make_column<float>(classes.name, classes.per, classes.rows, classes.width);
  const auto* value = classes.as<std::int64_t>();
  for (std::int64_t i = 0; i < classes.rows * classes.width; ++i) {
    out.data[i] =
        value[i] < 0 ? std::numeric_limits<float>::quiet_NaN() : static_cast<float>(value[i]);
  }
  return out.column;
}

// Task and metric of the recipe win over those of a ready-made store.
void override_task(Dataset& dataset, const DatasetOptions& options, const fs::path& store) {
  if (!options.metric.empty()) dataset.info.metric = options.metric;
  if (options.task.empty()) return;
  const Task task = task_named(options.task);
  if (task == dataset.info.task) return;
  if (level_of(task) != level_of(dataset.info.task)) {
    throw base::RecipeError(fmt::format("dataset.task: {}: the store {} holds labels for {}",
                                        options.task, store.string(), name_of(dataset.info.task)));
  }
  if (is_class(dataset.info.task)) dataset.labels = with_gaps(dataset.labels);
  dataset.info.classes = 0;
  dataset.labels =
      labels_for(task, dataset.labels, store.string() + " labels", dataset.info.classes);
  dataset.info.task = task;
}

// A store cannot be clipped any more; it may have been when it was made.
void refuse_larger(const Dataset& dataset, const DatasetOptions& options, const fs::path& store) {
  if (!options.clip_nodes) return;
  for (std::int64_t g = 0; g < dataset.graphs(); ++g) {
    if (dataset.nodes_of(g) <= *options.clip_nodes) continue;
    throw base::RecipeError(fmt::format(
        "dataset.clip_nodes: {}, but graph {} of the store {} has {} nodes; expected the folder "
        "that it was imported from",
        *options.clip_nodes, g, store.string(), dataset.nodes_of(g)));
  }
}

// What else a recipe may say of a ready-made store: OGB's tables, and edges as they must be.
void override_rules(Dataset& dataset, const DatasetOptions& options, const fs::path& store) {
  DatasetInfo& info = dataset.info;
  if (options.add_inverse_edge.value_or(false) && !info.undirected) {
    throw base::RecipeError(
        fmt::format("dataset.add_inverse_edge: true, but the store {} holds directed edges; "
                    "expected false, or the folder that it was imported from",
                    store.string()));
  }
  refuse_larger(dataset, options, store);
  const auto atoms = ogb_atom_categories(options.features);
  if (atoms.empty()) return;
  const auto nodes = categories_of(dataset.node_features, atoms, store.string() + " node_features");
  const auto edges = categories_of(dataset.edge_features, ogb_bond_categories(options.features),
                                   store.string() + " edge_features");
  if (nodes == info.node_categories && edges == info.edge_categories) return;
  info.node_categories = nodes;
  info.edge_categories = edges;
  info.hash = base::hash_hex(info.hash + " features: " + options.features);
}

Opened finish_opening(Dataset dataset, const DatasetOptions& options, const std::string& features,
                      const fs::path& store) {
  apply_features(dataset, features, options.degree_cap);
  Opened opened{std::move(dataset), store, ""};
  opened.default_split = opened.dataset.info.split;
  if (opened.default_split.empty() && opened.dataset.splits.size() == 1) {
    opened.default_split = opened.dataset.splits.begin()->first;
  }
  return opened;
}

// A cached store that cannot be read is made again; it is ours alone.
std::optional<Dataset> from_cache(const fs::path& path, const PackRules& rules) {
  if (!fs::exists(path)) return std::nullopt;
  try {
    Dataset dataset = read_store(path);
    if (dataset.info.name == rules.name && dataset.info.task == rules.task) return dataset;
    base::warn(fmt::format("cache: {}: holds {}, {}; expected {}, {}; importing again",
                           path.string(), dataset.info.name, name_of(dataset.info.task), rules.name,
                           name_of(rules.task)));
    return std::nullopt;
  } catch (const base::DataError& e) {
    base::warn(fmt::format("cache: {}; importing again", e.what()));
    return std::nullopt;
  }
}

void import_to_cache(const Located& located, const PackRules& rules, const fs::path& store) {
  try {
    base::make_directory(store.parent_path());
    import_store(located, rules, store);
  } catch (const base::ResourceError& e) {
    throw base::ResourceError(
        fmt::format("cache: {}; expected room: $GTRAIN_CACHE may name another folder", e.what()));
  }
}

std::string fold_name(const Dataset& dataset, std::int64_t fold) {
  for (const char* prefix : {"fold", "split"}) {
    const std::string name = fmt::format("{}{}", prefix, fold);
    if (dataset.splits.count(name) != 0) return name;
  }
  return "";
}

std::string known_splits(const Dataset& dataset) {
  std::vector<std::string> names;
  for (const auto& [name, split] : dataset.splits) names.push_back(name);
  return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace

void DatasetOptions::fields(base::FieldVisitor& f) {
  constexpr double kMost = 1e15;
  f({.key = "name", .doc = "data set of the catalogue (`gtrain list datasets`)"}, name);
  f({.key = "path", .doc = "OGB-style folder or .h5 store; found by name when absent"}, path);
  f({.key = "batch_size", .doc = "graphs a batch", .min = 1, .max = kMost}, batch_size);
  f({.key = "max_nodes",
     .doc = "close a batch before its nodes exceed this; 0: no limit",
     .min = 0,
     .max = kMost},
    max_nodes);
  f({.key = "split", .doc = "scheme under split/; the data set's own when absent"}, split);
  f({.key = "fold",
     .doc = "fold k: the split fold<k> or split<k>; -1: none",
     .min = -1,
     .max = 1e6},
    fold);
  f({.key = "features",
     .doc = "ogb_mol: OGB's category tables; ogb_mol_2020: those with four kinds of chirality; "
            "numeric: integers are plain numbers; one_hot: each category is a 0/1 column; "
            "constant, degree_onehot, local_degree_profile: made from the graph",
     .one_of = feature_names()},
    features);
  f({.key = "degree_cap",
     .doc = "degree_onehot: larger degrees count as this one; 0: no cap",
     .min = 0,
     .max = 1e7},
    degree_cap);
  f({.key = "target_scaling",
     .doc = "standard: train on (y - mean) / std of the training labels",
     .one_of = {"none", "standard"}},
    target_scaling);
  f({.key = "add_inverse_edge", .doc = "true: the files hold each undirected edge once"},
    add_inverse_edge);
  f({.key = "clip_nodes",
     .doc = "on import, graph tasks: of a larger graph the first nodes and the edges among them",
     .min = 1,
     .max = 1e9},
    clip_nodes);
  f({.key = "task",
     .doc = "graph_ | node_ | edge_ regression | binary | class, graph_multilabel, graph_subtoken; "
            "the card's when absent"},
    task);
  f({.key = "metric", .doc = "the card's when absent"}, metric);
  f({.key = "transform", .doc = "changes of the graphs before they are batched"}, transform);
  f.require(!name.empty() || !path.empty(), "name", "name or path is needed");
  f.require(degree_cap == 0 || features == "degree_onehot", "degree_cap",
            "limits degree_onehot alone; expected features: degree_onehot");
}

Opened open_dataset(const DatasetOptions& options) {
  const Located located = locate(options);
  if (located.path.extension() == ".h5") {
    Dataset dataset = read_store(located.path);
    override_task(dataset, options, located.path);
    override_rules(dataset, options, located.path);
    return finish_opening(std::move(dataset), options, options.features, located.path);
  }
  const PackRules rules = rules_for(located, options);
  // Packing has seen to these two; the others are made afresh from the graph.
  std::string features =
      options.features.empty() && located.card ? located.card->features : options.features;
  if (!made_from_graph(features)) features.clear();
  const fs::path store = cached_store(located.path, rules);
  if (auto dataset = from_cache(store, rules))
    return finish_opening(*dataset, options, features, store);
  const auto begin = std::chrono::steady_clock::now();
  import_to_cache(located, rules, store);
  Dataset dataset = read_store(store);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  base::note(fmt::format("imported {}: {} graphs, {} nodes, {} edges in {:.2f} s -> {}",
                         located.path.string(), dataset.graphs(), dataset.nodes(), dataset.edges(),
                         took.count(), store.string()));
  return finish_opening(std::move(dataset), options, features, store);
}

const Split& select_split(const Opened& opened, const DatasetOptions& options) {
  const Dataset& dataset = opened.dataset;
  if (dataset.splits.empty()) {
    throw base::DataError(
        fmt::format("{}: the data set has no splits; expected split/<scheme>/ "
                    "with train, valid and test",
                    dataset.info.name));
  }
  std::string name = options.split.empty() ? opened.default_split : options.split;
  if (options.fold >= 0) {
    name = fold_name(dataset, options.fold);
    if (name.empty()) {
      throw base::RecipeError(fmt::format("dataset.fold: {}: no such fold; known splits: {}",
                                          options.fold, known_splits(dataset)));
    }
    if (!options.split.empty() && options.split != name) {
      throw base::RecipeError(
          fmt::format("dataset.split: {}, but dataset.fold: {} is the split {}; expected one of "
                      "the two keys",
                      options.split, options.fold, name));
    }
  } else if (name.empty()) {
    name = fold_name(dataset, 0);
  }
  const auto it = dataset.splits.find(name);
  if (it == dataset.splits.end()) {
    throw base::RecipeError(fmt::format("dataset.split: {}; known: {}",
                                        name.empty() ? "has to be said" : name + ": unknown split",
                                        known_splits(dataset)));
  }
  return it->second;
}

std::int64_t folds(const Dataset& dataset) {
  std::int64_t count = 0;
  while (!fold_name(dataset, count).empty()) ++count;
  return count;
}

}  // namespace gtrain::data

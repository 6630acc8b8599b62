#include "gtrain/data/import.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>

#include <algorithm>
#include <cctype>
#include <vector>

#include "gtrain/base/durable.h"
#include "gtrain/base/error.h"
#include "gtrain/base/log.h"
#include "gtrain/data/catalog.h"
#include "gtrain/data/clip.h"
#include "gtrain/data/code.h"
#include "gtrain/data/container.h"
#include "gtrain/data/feature.h"
#include "gtrain/data/store.h"

namespace gtrain::data {
namespace {

namespace fs = std::filesystem;

constexpr int kImporterVersion = 1;  // raise when the same files give another store
constexpr std::uintmax_t kSmallFile = 1 << 16;
constexpr std::size_t kLongestName = 100;  // in the name of a store

// Of a large file when its content or name last changed: a copy that keeps the time of writing has
// another time of change.
std::string times_of(const fs::path& file) {
  struct stat seen {};
  if (::stat(file.c_str(), &seen) != 0) return "gone";
  return fmt::format("{}.{} {}.{}", seen.st_mtim.tv_sec, seen.st_mtim.tv_nsec, seen.st_ctim.tv_sec,
                     seen.st_ctim.tv_nsec);
}

// The files of raw/ and split/<scheme>/, behind links, too.
std::string stamp_of(const fs::path& folder) {
  std::vector<std::string> lines;
  const auto add = [&](const fs::path& part) {
    for (const auto& entry : fs::directory_iterator(part)) {
      if (!entry.is_regular_file()) continue;
      const auto size = entry.file_size();
      lines.push_back(fmt::format("{} {} {}", entry.path().lexically_relative(folder).string(),
                                  size,
                                  size <= kSmallFile ? base::hash_hex(base::read_file(entry.path()))
                                                     : times_of(entry.path())));
    }
  };
  if (fs::is_directory(folder / "raw")) add(folder / "raw");
  if (fs::is_directory(folder / "split")) {
    for (const auto& scheme : fs::directory_iterator(folder / "split")) {
      if (scheme.is_directory()) add(scheme.path());
    }
  }
  std::sort(lines.begin(), lines.end());
  return fmt::format("{}", fmt::join(lines, "\n"));
}

std::string text_of(const PackRules& r) {
  return fmt::format("{}|{}|{}|{}|{}|{}|{}|{}|{}{}", r.name, name_of(r.task), r.metric, r.split,
                     r.add_inverse_edge, r.features, fmt::join(r.node_categories, ","),
                     fmt::join(r.edge_categories, ","), r.classes,
                     r.clip_nodes > 0 ? fmt::format("|{}", r.clip_nodes) : "");
}

void compare(const Card& card, const Folder& folder) {
  const auto differ = [&](const char* what, std::optional<std::int64_t> stated,
                          std::int64_t found) {
    if (stated && *stated != found) {
      base::warn(fmt::format("{}: {} {}; the card of {} says {}", folder.path, found, what,
                             card.name, *stated));
    }
  };
  std::int64_t nodes = 0;
  for (std::int64_t g = 0; g < folder.num_nodes.rows; ++g) {
    nodes += folder.num_nodes.as<std::int64_t>()[g];
  }
  differ("graphs", card.graphs, folder.num_nodes.rows);
  differ("nodes", card.nodes, nodes);
  differ("edges", card.edges, folder.edges.rows);
}

}  // namespace

Located locate(const DatasetOptions& options) {
  Located located;
  if (!options.name.empty()) {
    const Shipped shipped = options.path.empty() ? Shipped::kNeeded : Shipped::kWelcome;
    located.card = find_card(options.name, shipped);
  }
  if (!options.path.empty()) {
    located.path = options.path;
    if (!fs::exists(located.path)) {
      throw base::DataError(
          fmt::format("{}: does not exist; expected an OGB-style folder or a .h5 "
                      "store (dataset.path)",
                      options.path));
    }
  } else if (options.name.empty()) {
    throw base::RecipeError("dataset: name or path is needed");
  } else if (const auto path = find_data(options.name, located.card)) {
    located.path = *path;
  } else {
    std::vector<std::string> looked;
    for (const fs::path& folder : dataset_folders()) looked.push_back(folder.string());
    throw base::RecipeError(fmt::format(
        "dataset.name: {}: no such data on this machine; looked in {}; set dataset.path or "
        "$GTRAIN_DATA{}",
        options.name, fmt::join(looked, ", "),
        located.card ? fmt::format(", or get it from {}", located.card->source) : ""));
  }
  if (fs::is_directory(located.path) && fs::exists(located.path / "card.yaml")) {
    located.card = read_card(located.path / "card.yaml");
  }
  return located;
}

PackRules rules_for(const Located& located, const DatasetOptions& options) {
  const Card card = located.card.value_or(Card{});
  const std::string task = options.task.empty() ? card.task : options.task;
  const auto inverse = options.add_inverse_edge ? options.add_inverse_edge : card.add_inverse_edge;
  PackRules rules;
  rules.metric = options.metric.empty() ? card.metric : options.metric;
  std::string missing;
  const auto need = [&](bool said, const char* what) {
    if (!said) missing += fmt::format("{}dataset.{}", missing.empty() ? "" : "\n", what);
  };
  need(!task.empty(),
       "task: has to be said for a folder without a card: graph_regression, "
       "graph_binary, graph_multilabel, graph_class, node_class, …");
  need(!rules.metric.empty(),
       "metric: has to be said for a folder without a card: rocauc, ap, "
       "mae, rmse, acc, …");
  need(inverse.has_value(),
       "add_inverse_edge: has to be said for a folder without a card: true "
       "when the files hold each undirected edge once, else false");
  if (!missing.empty()) {
    throw base::RecipeError(fmt::format("{} ({})", missing, located.path.string()));
  }
  rules.task = task_named(task);
  rules.add_inverse_edge = *inverse;
  rules.name = !options.name.empty() ? options.name
               : !card.name.empty()  ? card.name
                                     : fs::weakly_canonical(located.path).filename().string();
  rules.split = card.split;
  if (rules.split.empty() && is_subtoken(rules.task)) rules.split = options.split;  // vocabulary
  rules.features = options.features.empty() || made_from_graph(options.features) ? card.features
                                                                                 : options.features;
  const auto& known = feature_names();
  if (std::find(known.begin(), known.end(), rules.features) == known.end()) {
    throw base::DataError(fmt::format("{}: features: {}: unknown; known: {}",
                                      (located.path / "card.yaml").string(), rules.features,
                                      fmt::join(known.begin() + 1, known.end(), ", ")));
  }
  rules.node_categories = card.node_categories;
  rules.edge_categories = card.edge_categories;
  rules.classes = is_class(rules.task) ? card.classes : 0;
  rules.clip_nodes = options.clip_nodes.value_or(0);
  if (rules.clip_nodes > 0 && level_of(rules.task) != Level::kGraph) {
    throw base::RecipeError(
        fmt::format("dataset.clip_nodes: does not fit the task {}, whose labels belong to the "
                    "nodes or pairs that it takes away; expected a graph task",
                    name_of(rules.task)));
  }
  return rules;
}

fs::path cached_store(const fs::path& folder, const PackRules& rules) {
  const std::string key = base::hash_hex(
      fmt::format("{}.{}\n{}\n{}\n{}", kImporterVersion, kContainerVersion, text_of(rules),
                  fs::weakly_canonical(folder).string(), stamp_of(folder)));
  std::string name = rules.name.substr(0, kLongestName);
  std::replace_if(
      name.begin(), name.end(),
      [](unsigned char c) { return std::isalnum(c) == 0 && c != '-' && c != '.'; }, '_');
  return cache_folder() / fmt::format("{}-{}.h5", name, key.substr(0, 16));
}

void import_store(const Located& located, const PackRules& rules, const fs::path& store) {
  Folder folder = read_folder(located.path, level_of(rules.task), is_subtoken(rules.task));
  if (located.card) compare(*located.card, folder);
  if (rules.features == "ogb_code") {
    if (rules.add_inverse_edge) {
      throw base::RecipeError(
          "dataset.add_inverse_edge: true, but features: ogb_code adds reverse edges itself; "
          "expected false");
    }
    add_code_structure(folder);
  }
  if (rules.clip_nodes > 0) keep_first_nodes(folder, rules.clip_nodes);
  write_store(store, pack(folder, rules));
}

}  // namespace gtrain::data

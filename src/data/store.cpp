#include "gtrain/data/store.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "gtrain/base/error.h"
#include "gtrain/data/container.h"
#include "gtrain/data/vocabulary.h"

namespace gtrain::data {
namespace {

constexpr const char* kDataset = "dataset";
constexpr const char* kColumns = "columns";

Column id_list(const std::string& name, const std::vector<std::int64_t>& ids) {
  auto out = make_column<std::int64_t>(name, Per::kGraph, static_cast<std::int64_t>(ids.size()), 1);
  std::copy(ids.begin(), ids.end(), out.data);
  return out.column;
}

// The arrays a store must hold, by the place they go to.
std::vector<std::pair<const char*, Column Dataset::*>> places() {
  return {{"node_start", &Dataset::node_start},
          {"edge_start", &Dataset::edge_start},
          {"row_start", &Dataset::row_start},
          {"source", &Dataset::source},
          {"node_features", &Dataset::node_features},
          {"edge_features", &Dataset::edge_features},
          {"labels", &Dataset::labels},
          {"pair_start", &Dataset::pair_start},
          {"pairs", &Dataset::pairs}};
}

// splits/<scheme>/<part>; false where the name is another.
bool take_split(Dataset& dataset, const Column& array) {
  constexpr std::string_view kPrefix = "splits/";
  std::string_view name = array.name;
  const std::size_t slash = name.rfind('/');
  if (!name.starts_with(kPrefix) || slash < kPrefix.size()) return false;
  Split& split = dataset.splits[std::string(name.substr(kPrefix.size(), slash - kPrefix.size()))];
  const std::string_view part = name.substr(slash + 1);
  std::vector<std::int64_t>& ids = part == "train"   ? split.train
                                   : part == "valid" ? split.valid
                                                     : split.test;
  ids.assign(array.as<std::int64_t>(), array.as<std::int64_t>() + array.rows);
  return true;
}

void check_shapes(const Dataset& d, const std::string& path) {
  const auto demand = [&](bool holds, const char* what) {
    if (!holds)
      throw base::DataError(fmt::format("{}: {}; expected a consistent store", path, what));
  };
  demand(d.node_start.rows > 1 && d.node_start.dtype == DType::kI64, "no graphs");
  demand(d.edge_start.rows == d.node_start.rows && d.edge_start.dtype == DType::kI64,
         "edge_start and node_start differ in length");
  demand(d.row_start.dtype == DType::kI64 && d.source.dtype == DType::kI32, "wrong CSR types");
  const auto nodes = d.node_start.as<std::int64_t>()[d.graphs()];
  const auto edges = d.edge_start.as<std::int64_t>()[d.graphs()];
  demand(d.nodes() == nodes, "row_start does not fit node_start");
  demand(d.edges() == edges && d.row_start.as<std::int64_t>()[nodes] == edges,
         "source does not fit edge_start");
  demand(d.node_features.empty() || d.node_features.rows == nodes, "node_features do not fit");
  demand(d.edge_features.empty() || d.edge_features.rows == edges, "edge_features do not fit");
  demand(d.labels.width > 0, "no labels");
  demand(static_cast<std::int64_t>(d.info.vocabulary.size()) ==
             (is_subtoken(d.info.task) ? d.info.classes : 0),
         "the vocabulary does not fit the classes");
}

}  // namespace

void write_store(const std::filesystem::path& path, const Dataset& dataset) {
  Container content;
  content.kind = kDataset;
  const DatasetInfo& info = dataset.info;
  content.facts.text = {{"name", info.name},
                        {"task", name_of(info.task)},
                        {"metric", info.metric},
                        {"split", info.split}};
  content.facts.numbers = {{"classes", {info.classes}},
                           {"node_categories", info.node_categories},
                           {"edge_categories", info.edge_categories},
                           {"undirected", {info.undirected ? 1 : 0}}};
  if (is_subtoken(info.task)) {
    content.facts.numbers["positions"] = {info.positions};
    content.facts.text["vocabulary"] = fmt::format("{}", fmt::join(info.vocabulary, " "));
  }
  for (const auto& [name, member] : places()) {
    content.arrays.push_back(dataset.*member);
    content.arrays.back().name = name;
  }
  for (const auto& [scheme, split] : dataset.splits) {
    content.arrays.push_back(id_list("splits/" + scheme + "/train", split.train));
    content.arrays.push_back(id_list("splits/" + scheme + "/valid", split.valid));
    content.arrays.push_back(id_list("splits/" + scheme + "/test", split.test));
  }
  write_container(path, content);
}

Dataset read_store(const std::filesystem::path& path) {
  Container content = read_container(path, kDataset);
  Dataset dataset;
  DatasetInfo& info = dataset.info;
  try {
    info.name = content.facts.text.at("name");
    info.task = task_named(content.facts.text.at("task"));
    info.metric = content.facts.text.at("metric");
    info.split = content.facts.text.at("split");
    info.classes = content.facts.numbers.at("classes").at(0);
    info.node_categories = content.facts.numbers.at("node_categories");
    info.edge_categories = content.facts.numbers.at("edge_categories");
    info.undirected = content.facts.numbers.at("undirected").at(0) != 0;
    if (is_subtoken(info.task)) {
      info.positions = content.facts.numbers.at("positions").at(0);
      info.vocabulary = words_of(content.facts.text.at("vocabulary"));
    }
  } catch (const std::out_of_range&) {
    throw base::DataError(path.string() + ": a fact is missing from the index");
  }
  info.hash = content.hash;
  for (Column& array : content.arrays) {
    if (take_split(dataset, array)) continue;
    for (const auto& [name, member] : places()) {
      if (array.name == name) dataset.*member = array;
    }
  }
  check_shapes(dataset, path.string());
  return dataset;
}

void write_columns(const std::filesystem::path& path, const std::vector<Column>& columns,
                   const std::string& key, const std::string& of) {
  Container content;
  content.kind = kColumns;
  content.arrays = columns;
  content.facts.text = {{"key", key}, {"of", of}};
  write_container(path, content);
}

std::vector<Column> read_columns(const std::filesystem::path& path, const std::string& key,
                                 const std::string& of) {
  if (!std::filesystem::exists(path)) return {};
  Container content = read_container(path, kColumns);
  if (content.facts.text["key"] != key || content.facts.text["of"] != of) return {};
  return std::move(content.arrays);
}

}  // namespace gtrain::data

#include "gtrain/data/folder.h"

#include <fmt/format.h>
#include <tbb/task_group.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <vector>

#include "gtrain/base/error.h"
#include "gtrain/data/csv.h"
#include "gtrain/data/gzip.h"
#include "gtrain/data/npz.h"

namespace gtrain::data {

namespace fs = std::filesystem;

std::optional<fs::path> find_table(const fs::path& stem) {
  for (const char* extension : {".csv.gz", ".csv"}) {
    fs::path path = stem;
    path += extension;
    if (fs::exists(path)) return path;
  }
  return std::nullopt;
}

namespace {

fs::path require_table(const fs::path& stem) {
  if (const auto path = find_table(stem)) return *path;
  throw base::DataError(
      fmt::format("{}.csv.gz: missing; expected it (or the plain .csv) in an "
                  "OGB-style folder",
                  stem.string()));
}

Column to_int64(const Column& column) {
  auto out = make_column<std::int64_t>(column.name, column.per, column.rows, column.width);
  visit(column, [&](const auto* p) {
    for (std::int64_t i = 0; i < column.rows * column.width; ++i) {
      out.data[i] = static_cast<std::int64_t>(p[i]);
    }
  });
  return out.column;
}

// One table into its place, remembering the file.
struct Wanted {
  const char* stem;  // below raw/
  Column* into;
  std::string key;
  CsvRules rules;
  bool required;
};

std::vector<Wanted> wanted(Folder& f, Level level, bool texts) {
  const auto counts = [](const char* name) {
    return CsvRules{.name = name, .per = Per::kGraph, .columns = 1, .integers = true};
  };
  const auto ends = [](const char* name) {
    return CsvRules{.name = name, .per = Per::kEdge, .columns = 2, .integers = true};
  };
  const Per per = level == Level::kNode ? Per::kNode : Per::kGraph;
  const char* label = level == Level::kGraph  ? "graph-label"
                      : level == Level::kNode ? "node-label"
                                              : "pair-label";
  // The largest first, so that they are not what everything else waits for.
  std::vector<Wanted> list{
      {"node-feat", &f.node_features, "node_features", {.name = "node_features"}, false},
      {"edge", &f.edges, "edges", ends("edges"), true},
      {"edge-feat",
       &f.edge_features,
       "edge_features",
       {.name = "edge_features", .per = Per::kEdge},
       false},
      {label, &f.labels, "labels", {.name = "labels", .per = per, .allow_missing = true}, true},
      {"num-node-list", &f.num_nodes, "num_nodes", counts("num_nodes"), true},
      {"num-edge-list", &f.num_edges, "num_edges", counts("num_edges"), true},
  };
  if (texts) std::erase_if(list, [](const Wanted& w) { return w.key == "labels"; });
  if (level == Level::kEdge) {
    list.push_back({"pair", &f.pairs, "pairs", ends("pairs"), true});
    list.push_back({"num-pair-list", &f.num_pairs, "num_pairs", counts("num_pairs"), true});
  }
  return list;
}

// A line a graph; the last one may lack its end.
std::vector<std::string> read_lines(const fs::path& path) {
  const Text text = read_text(path);
  std::vector<std::string> out;
  for (std::string_view rest = text.view(); !rest.empty();) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    out.emplace_back(line);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return out;
}

void read_tables(Folder& f, const fs::path& raw, Level level, bool texts) {
  tbb::task_group group;
  const std::vector<Wanted> list = wanted(f, level, texts);
  std::vector<fs::path> found(list.size());
  for (std::size_t i = 0; i < list.size(); ++i) {
    const Wanted& w = list[i];
    if (w.required) {
      found[i] = require_table(raw / w.stem);
    } else if (const auto path = find_table(raw / w.stem)) {
      found[i] = *path;
    }
  }
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (found[i].empty()) {
      list[i].into->width = 0;
      continue;
    }
    f.file[list[i].key] = found[i].string();
    group.run([&w = list[i], &path = found[i]] { *w.into = read_csv(path, w.rules); });
  }
  if (texts) {
    const fs::path path = require_table(raw / "graph-label");
    f.file["labels"] = path.string();
    group.run([&f, path] { f.texts = read_lines(path); });
  }
  group.wait();
}

const Array& member(const std::map<std::string, Array>& npz, const std::string& path,
                    const char* key) {
  const auto it = npz.find(key);
  if (it == npz.end()) {
    throw base::DataError(
        fmt::format("{}: no member '{}'; expected it in OGB's binary format", path, key));
  }
  return it->second;
}

// [2, ΣE] -> [ΣE, 2].
Column transpose_ends(const Array& array, const std::string& path) {
  if (array.shape.size() != 2 || array.shape[0] != 2 || !array.values.integer()) {
    throw base::DataError(
        fmt::format("{}: edge_index is not an integer array of shape (2, E)", path));
  }
  const std::int64_t count = array.shape[1];
  auto out = make_column<std::int64_t>("edges", Per::kEdge, count, 2);
  visit(array.values, [&](const auto* p) {
    for (std::int64_t e = 0; e < count; ++e) {
      out.data[2 * e] = static_cast<std::int64_t>(p[e]);
      out.data[2 * e + 1] = static_cast<std::int64_t>(p[count + e]);
    }
  });
  return out.column;
}

void expect_integers(const Column& column, const std::string& path) {
  if (!column.integer()) {
    throw base::DataError(fmt::format("{}: {} is {}; expected an integer array", path, column.name,
                                      name_of(column.dtype)));
  }
  if (column.width != 1) {
    throw base::DataError(fmt::format("{}: {} has {} columns; expected one number a graph", path,
                                      column.name, column.width));
  }
}

Column named(const Column& column, const char* name, Per per) {
  Column out = column;
  out.name = name;
  out.per = per;
  return out;
}

void read_binary(Folder& f, const fs::path& raw, Level level) {
  const std::string path = (raw / "data.npz").string();
  const auto data = read_npz(path);
  for (const auto& [key, array] : data) {
    const bool known = key == "edge_index" || key == "num_nodes_list" || key == "num_edges_list" ||
                       key.starts_with("node_") || key.starts_with("edge_");
    if (!known) {
      throw base::DataError(
          fmt::format("{}: unknown member '{}'; expected edge_index, "
                      "num_nodes_list, num_edges_list, node_* or edge_*",
                      path, key));
    }
  }
  if (level == Level::kEdge) {
    throw base::DataError(path + ": the binary format has no place for pairs; expected .csv.gz");
  }
  f.binary = true;
  f.edges = transpose_ends(member(data, path, "edge_index"), path);
  f.num_nodes = named(member(data, path, "num_nodes_list").values, "num_nodes", Per::kGraph);
  f.num_edges = named(member(data, path, "num_edges_list").values, "num_edges", Per::kGraph);
  expect_integers(f.num_nodes, path);
  expect_integers(f.num_edges, path);
  f.node_features.width = f.edge_features.width = 0;
  if (data.count("node_feat") != 0) {
    f.node_features = named(data.at("node_feat").values, "node_features", Per::kNode);
  }
  if (data.count("edge_feat") != 0) {
    f.edge_features = named(data.at("edge_feat").values, "edge_features", Per::kEdge);
  }
  const char* key = level == Level::kNode ? "node_label" : "graph_label";
  const std::string labels =
      (raw / (level == Level::kNode ? "node-label.npz" : "graph-label.npz")).string();
  f.labels = named(member(read_npz(labels), labels, key).values, "labels",
                   level == Level::kNode ? Per::kNode : Per::kGraph);
  for (const char* array : {"edges", "num_nodes", "num_edges"}) f.file[array] = path;
  if (f.node_features.width != 0) f.file["node_features"] = path;
  if (f.edge_features.width != 0) f.file["edge_features"] = path;
  f.file["labels"] = labels;
}

constexpr std::int64_t kMostRows = std::int64_t{1} << 48;  // of a file: beyond, it is damaged

std::int64_t total(const Folder& f, const Column& counts, const char* what) {
  std::int64_t sum = 0;
  const auto* p = counts.as<std::int64_t>();
  for (std::int64_t g = 0; g < counts.rows; ++g) {
    if (p[g] < 0 || p[g] > kMostRows - sum) {
      throw base::DataError(
          fmt::format("{} (row {}): {}; expected a number of {}, 0 or more, and at "
                      "most {} in all rows",
                      f.file.at(counts.name), g + 1, p[g], what, kMostRows));
    }
    sum += p[g];
  }
  return sum;
}

void expect_rows(const Folder& f, const Column& column, std::int64_t rows, const std::string& why) {
  if (f.file.count(column.name) == 0 || column.rows == rows) return;
  throw base::DataError(fmt::format("{} (row {}): the file has {} rows; expected {}: {}",
                                    f.file.at(column.name), std::min(column.rows, rows) + 1,
                                    column.rows, rows, why));
}

void check_counts(Folder& f, Level level, bool texts) {
  f.num_nodes = to_int64(f.num_nodes);
  f.num_edges = to_int64(f.num_edges);
  if (f.num_nodes.rows == 0) {
    throw base::DataError(fmt::format("{}: the data set is empty; expected at least one graph",
                                      f.file.at("num_nodes")));
  }
  expect_rows(f, f.num_edges, f.num_nodes.rows, "one a graph, as in num-node-list");
  const std::int64_t nodes = total(f, f.num_nodes, "nodes");
  const std::int64_t edges = total(f, f.num_edges, "edges");
  expect_rows(f, f.edges, edges, "the sum of num-edge-list");
  expect_rows(f, f.node_features, nodes, "one a node, the sum of num-node-list");
  expect_rows(f, f.edge_features, edges, "one an edge, the sum of num-edge-list");
  if (texts) {
    f.labels.name = "labels";
    f.labels.rows = static_cast<std::int64_t>(f.texts.size());
    f.labels.width = 1;
  }
  if (level == Level::kGraph) expect_rows(f, f.labels, f.num_nodes.rows, "one label a graph");
  if (level == Level::kNode) expect_rows(f, f.labels, nodes, "one label a node");
  if (level == Level::kEdge) {
    f.num_pairs = to_int64(f.num_pairs);
    expect_rows(f, f.num_pairs, f.num_nodes.rows, "one a graph, as in num-node-list");
    const std::int64_t pairs = total(f, f.num_pairs, "pairs");
    expect_rows(f, f.pairs, pairs, "the sum of num-pair-list");
    expect_rows(f, f.labels, pairs, "one label a pair");
  }
  if (f.labels.width == 0) {
    throw base::DataError(f.file.at("labels") + ": no columns; expected at least one label column");
  }
}

// Ids of one part of a split, marking whose they are; `owner` is 0 where free, else part + 1.
std::vector<std::int64_t> read_part(const fs::path& path, int part, std::int64_t count,
                                    std::vector<std::uint8_t>& owner) {
  static constexpr const char* kParts[] = {"train", "valid", "test"};
  const Column ids =
      to_int64(read_csv(path, {.name = "ids", .per = Per::kGraph, .columns = 1, .integers = true}));
  std::vector<std::int64_t> out(ids.as<std::int64_t>(), ids.as<std::int64_t>() + ids.rows);
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (out[i] < 0 || out[i] >= count) {
      throw base::DataError(fmt::format("{} (row {}): id {}; expected 0 to {}", path.string(),
                                        i + 1, out[i], count - 1));
    }
    std::uint8_t& mark = owner[static_cast<std::size_t>(out[i])];
    if (mark != 0) {
      throw base::DataError(
          fmt::format("{} (row {}): id {} stands in {} already; expected disjoint parts without "
                      "repetition",
                      path.string(), i + 1, out[i], kParts[mark - 1]));
    }
    mark = static_cast<std::uint8_t>(part + 1);
  }
  return out;
}

}  // namespace

bool is_folder(const fs::path& path) { return fs::is_directory(path / "raw"); }

Folder read_folder(const fs::path& path, Level level, bool texts) {
  if (!is_folder(path)) {
    throw base::DataError(
        fmt::format("{}: no folder raw/ inside; expected an OGB-style folder or "
                    "a .h5 store",
                    path.string()));
  }
  Folder f;
  f.path = path.string();
  const fs::path raw = path / "raw";
  if (fs::exists(raw / "triplet-type-list.csv.gz") || fs::exists(raw / "edge_index_dict.npz")) {
    throw base::DataError(
        fmt::format("{}: heterogeneous graphs (several node types); expected one "
                    "type of node",
                    raw.string()));
  }
  if (fs::exists(raw / "data.npz") && !find_table(raw / "edge")) {
    if (texts) throw base::DataError((raw / "data.npz").string() + ": holds no texts as labels");
    read_binary(f, raw, level);
  } else {
    read_tables(f, raw, level, texts);
  }
  check_counts(f, level, texts);
  const bool single = f.num_nodes.rows == 1 && level == Level::kNode;
  f.splits = read_splits(path, single ? f.num_nodes.as<std::int64_t>()[0] : f.num_nodes.rows);
  return f;
}

std::map<std::string, Split> read_splits(const fs::path& path, std::int64_t count) {
  std::map<std::string, Split> splits;
  if (!fs::is_directory(path / "split")) return splits;
  for (const auto& entry : fs::directory_iterator(path / "split")) {
    if (!entry.is_directory()) continue;
    const fs::path& folder = entry.path();
    const auto train = find_table(folder / "train");
    if (!train && fs::exists(folder / "split_dict.pt")) {
      throw base::DataError(
          fmt::format("{0}: a Python pickle, which is never loaded; convert it with: python "
                      "tools/convert/split_dict.py {0}",
                      (folder / "split_dict.pt").string()));
    }
    std::vector<std::uint8_t> owner(static_cast<std::size_t>(count), 0);
    Split& split = splits[folder.filename().string()];
    split.train = read_part(require_table(folder / "train"), 0, count, owner);
    split.valid = read_part(require_table(folder / "valid"), 1, count, owner);
    split.test = read_part(require_table(folder / "test"), 2, count, owner);
  }
  return splits;
}

}  // namespace gtrain::data

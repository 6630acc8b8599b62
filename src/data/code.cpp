#include "gtrain/data/code.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <vector>

#include "gtrain/base/error.h"
#include "gtrain/data/csv.h"

namespace gtrain::data {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kDepth = 20;  // deeper nodes count as this deep

std::vector<std::int64_t> numbers(const Column& column) {
  std::vector<std::int64_t> out(static_cast<std::size_t>(column.rows * column.width));
  visit(column, [&](const auto* p) {
    std::transform(p, p + out.size(), out.begin(),
                   [](auto v) { return static_cast<std::int64_t>(v); });
  });
  return out;
}

std::vector<std::int64_t> node_column(const Folder& folder, const char* stem, std::int64_t nodes) {
  const fs::path raw = fs::path(folder.path) / "raw";
  const auto path = find_table(raw / stem);
  if (!path) {
    throw base::DataError(fmt::format("{}.csv.gz: missing; expected it for dataset.features: {}",
                                      (raw / stem).string(), "ogb_code"));
  }
  const Column column = read_csv(*path, {.name = stem, .columns = 1, .integers = true});
  if (column.rows != nodes) {
    throw base::DataError(
        fmt::format("{}: {} rows; expected {}, one a node", path->string(), column.rows, nodes));
  }
  return numbers(column);
}

void add_depth(Folder& folder, const std::vector<std::int64_t>& depth) {
  const std::vector<std::int64_t> given = numbers(folder.node_features);
  const std::int64_t nodes = folder.node_features.rows, width = folder.node_features.width;
  auto out = make_column<std::int32_t>("node_features", Per::kNode, nodes, width + 1);
  for (std::int64_t i = 0; i < nodes; ++i) {
    for (std::int64_t c = 0; c < width; ++c) {
      out.data[i * (width + 1) + c] =
          static_cast<std::int32_t>(given[static_cast<std::size_t>(i * width + c)]);
    }
    out.data[i * (width + 1) + width] =
        static_cast<std::int32_t>(std::min(depth[static_cast<std::size_t>(i)], kDepth));
  }
  folder.node_features = out.column;
}

// Edges of one data set as they are made, graph by graph.
struct Edges {
  std::vector<std::int64_t> ends;
  std::vector<std::int8_t> kinds;
  std::vector<std::int64_t> count;  // per graph

  void add(std::int64_t from, std::int64_t to, std::int8_t kind) {
    ends.insert(ends.end(), {from, to, to, from});
    kinds.insert(kinds.end(), {kind, 0, kind, 1});
    count.back() += 2;
  }
};

Edges with_next_tokens(const Folder& folder, const std::vector<std::int64_t>& attributed) {
  const std::vector<std::int64_t> tree = numbers(folder.edges);
  const auto* num_nodes = folder.num_nodes.as<std::int64_t>();
  const auto* num_edges = folder.num_edges.as<std::int64_t>();
  Edges out;
  std::size_t node = 0, edge = 0;
  for (std::int64_t g = 0; g < folder.num_nodes.rows; ++g) {
    out.count.push_back(0);
    for (std::int64_t e = 0; e < num_edges[g]; ++e, edge += 2) {
      out.add(tree[edge], tree[edge + 1], 0);
    }
    std::int64_t before = -1;
    for (std::int64_t i = 0; i < num_nodes[g]; ++i, ++node) {
      if (attributed[node] != 1) continue;
      if (before >= 0) out.add(before, i, 1);
      before = i;
    }
  }
  return out;
}

template <class To, class From>
Column column_of(const char* name, Per per, const std::vector<From>& values, std::int64_t width) {
  auto out = make_column<To>(name, per, static_cast<std::int64_t>(values.size()) / width, width);
  std::copy(values.begin(), values.end(), out.data);
  return out.column;
}

}  // namespace

void add_code_structure(Folder& folder) {
  std::int64_t nodes = 0;
  for (std::int64_t g = 0; g < folder.num_nodes.rows; ++g) {
    nodes += folder.num_nodes.as<std::int64_t>()[g];
  }
  if (folder.node_features.width == 0 || !folder.node_features.integer()) {
    throw base::DataError(folder.path +
                          ": no integer node features; expected type and attribute of code");
  }
  add_depth(folder, node_column(folder, "node_depth", nodes));
  const Edges edges = with_next_tokens(folder, node_column(folder, "node_is_attributed", nodes));
  folder.edges = column_of<std::int64_t>("edges", Per::kEdge, edges.ends, 2);
  folder.edge_features = column_of<std::int8_t>("edge_features", Per::kEdge, edges.kinds, 2);
  folder.num_edges = column_of<std::int64_t>("num_edges", Per::kGraph, edges.count, 1);
  folder.file["edge_features"] = folder.file.at("edges");
}

}  // namespace gtrain::data

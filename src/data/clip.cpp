#include "gtrain/data/clip.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <vector>

#include "gtrain/base/error.h"

namespace gtrain::data {
namespace {

using Rows = std::vector<std::int64_t>;

// Rows of a per-node table that stay.
Rows kept_nodes(const Column& counts, std::int64_t most) {
  Rows out;
  std::int64_t first = 0;
  for (std::int64_t g = 0; g < counts.rows; ++g) {
    const std::int64_t nodes = counts.as<std::int64_t>()[g];
    for (std::int64_t i = 0; i < std::min(nodes, most); ++i) out.push_back(first + i);
    first += nodes;
  }
  return out;
}

// Rows of a per-edge table that stay; `edges` becomes their number in each graph.
template <class T>
Rows kept_edges(const Folder& folder, const T* ends, std::int64_t most,
                std::vector<std::int64_t>& edges) {
  Rows out;
  std::int64_t row = 0;
  for (std::int64_t g = 0; g < folder.num_nodes.rows; ++g) {
    const std::int64_t nodes = folder.num_nodes.as<std::int64_t>()[g];
    const std::int64_t last = row + folder.num_edges.as<std::int64_t>()[g];
    const auto before = static_cast<std::int64_t>(out.size());
    for (; row < last; ++row) {
      const auto a = static_cast<std::int64_t>(ends[2 * row]);
      const auto b = static_cast<std::int64_t>(ends[2 * row + 1]);
      if (a < 0 || b < 0 || a >= nodes || b >= nodes) {
        throw base::DataError(
            fmt::format("{} (row {}): edge {},{} in graph {}, which has {} nodes; expected {}",
                        folder.file.at("edges"), row + 1, a, b, g, nodes,
                        nodes == 0 ? "no edges" : fmt::format("ends from 0 to {}", nodes - 1)));
      }
      if (a < most && b < most) out.push_back(row);
    }
    edges.push_back(static_cast<std::int64_t>(out.size()) - before);
  }
  return out;
}

Column taken(const Column& column, const Rows& rows) {
  if (column.width == 0) return column;
  const auto count = static_cast<std::int64_t>(rows.size());
  Filling<void> out = make_column(column.dtype, column.name, column.per, count, column.width);
  const std::size_t bytes = size_of(column.dtype) * static_cast<std::size_t>(column.width);
  auto* to = static_cast<std::byte*>(out.data);
  for (const std::int64_t row : rows) {
    const auto at = static_cast<std::size_t>(row) * bytes;
    std::memcpy(to, static_cast<const std::byte*>(column.data) + at, bytes);
    to += bytes;
  }
  return out.column;
}

Column counts_of(const char* name, const std::vector<std::int64_t>& values) {
  const auto rows = static_cast<std::int64_t>(values.size());
  auto out = make_column<std::int64_t>(name, Per::kGraph, rows, 1);
  std::copy(values.begin(), values.end(), out.data);
  return out.column;
}

}  // namespace

void keep_first_nodes(Folder& folder, std::int64_t most) {
  const auto* nodes = folder.num_nodes.as<std::int64_t>();
  const std::int64_t graphs = folder.num_nodes.rows;
  if (std::all_of(nodes, nodes + graphs, [&](std::int64_t n) { return n <= most; })) return;
  std::vector<std::int64_t> left(nodes, nodes + graphs), edges;
  for (std::int64_t& n : left) n = std::min(n, most);
  const Rows kept =
      visit(folder.edges, [&](const auto* ends) { return kept_edges(folder, ends, most, edges); });
  folder.node_features = taken(folder.node_features, kept_nodes(folder.num_nodes, most));
  folder.edges = taken(folder.edges, kept);
  folder.edge_features = taken(folder.edge_features, kept);
  folder.num_nodes = counts_of("num_nodes", left);
  folder.num_edges = counts_of("num_edges", edges);
}

}  // namespace gtrain::data

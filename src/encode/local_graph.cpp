#include "gtrain/encode/local_graph.h"

#include <numeric>

namespace gtrain::encode {

void LocalGraph::assign(const graph::Csr& graph) {
  start_.assign(graph.start.begin(), graph.start.end());
  source_.resize(graph.source.size());
  for (std::size_t e = 0; e < source_.size(); ++e) {
    source_[e] = static_cast<std::int32_t>(graph.source[e]);
  }
}

void LocalGraph::assign(const data::Dataset& dataset, std::int64_t g) {
  const std::int64_t first = dataset.node_start.as<std::int64_t>()[g];
  const std::int64_t n = dataset.nodes_of(g);
  const std::int64_t* rows = dataset.row_start.as<std::int64_t>() + first;
  start_.resize(static_cast<std::size_t>(n) + 1);
  for (std::int64_t i = 0; i <= n; ++i) start_[static_cast<std::size_t>(i)] = rows[i] - rows[0];
  const std::int32_t* source = dataset.source.as<std::int32_t>();
  source_.assign(source + rows[0], source + rows[n]);
}

std::vector<std::int32_t> LocalGraph::out_degrees() const {
  std::vector<std::int32_t> degree(static_cast<std::size_t>(nodes()), 0);
  for (const std::int32_t j : source_) ++degree[static_cast<std::size_t>(j)];
  return degree;
}

graph::Csr LocalGraph::csr() const {
  graph::Csr out;
  out.start.assign(start_.begin(), start_.end());
  out.source.assign(source_.begin(), source_.end());
  out.edge.resize(source_.size());
  std::iota(out.edge.begin(), out.edge.end(), graph::Id{0});
  return out;
}

}  // namespace gtrain::encode

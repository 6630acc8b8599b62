// Odd graphs packed as a data set without features or labels, for tests of whole-set encodings.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "gtrain/data/column.h"
#include "gtrain/data/dataset.h"
#include "gtrain/graph/csr.h"
#include "support/odd_graph.h"

namespace gtrain::encode {

inline graph::Csr csr_of(const support::OddGraph& g) {
  return graph::build(g.nodes, g.source, g.target);
}

template <class T>
data::Column column_of(const std::string& name, const std::vector<T>& values) {
  auto filling =
      data::make_column<T>(name, data::Per::kGraph, static_cast<std::int64_t>(values.size()), 1);
  std::copy(values.begin(), values.end(), filling.data);
  return filling.column;
}

inline data::Dataset dataset_of(const std::vector<support::OddGraph>& graphs) {
  std::vector<std::int64_t> nodes{0}, edges{0}, rows{0};
  std::vector<std::int32_t> source;
  for (const support::OddGraph& g : graphs) {
    const graph::Csr csr = csr_of(g);
    for (graph::Id i = 0; i < g.nodes; ++i) {
      for (const graph::Id j : csr.row(i)) source.push_back(static_cast<std::int32_t>(j));
      rows.push_back(static_cast<std::int64_t>(source.size()));
    }
    nodes.push_back(nodes.back() + g.nodes);
    edges.push_back(static_cast<std::int64_t>(source.size()));
  }
  data::Dataset out;
  out.info.name = "odd";
  out.info.hash = "0123456789abcdef0123456789abcdef";
  out.node_start = column_of("node_start", nodes);
  out.edge_start = column_of("edge_start", edges);
  out.row_start = column_of("row_start", rows);
  out.source = column_of("source", source);
  return out;
}

}  // namespace gtrain::encode

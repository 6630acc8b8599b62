// A batch: whole graphs packed as one block-diagonal graph, never padded. Tensors are born here.
// Node ids are global within the batch; graphs follow one another; G graphs, N nodes, E edges.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "gtrain/data/dataset.h"

namespace gtrain::data {

struct GraphBatch {
  std::int64_t graphs = 0;
  std::vector<std::int64_t> graph_ids;  // ids in the data set, in batch order

  at::Tensor node;         // x: int64 or float [N, F]
  at::Tensor edge;         // edge_attr: int64 or float [E, Fe]
  at::Tensor source;       // int64 [E], edges sorted by (target, source)
  at::Tensor target;       // int64 [E]
  at::Tensor in_start;     // int64 [N+1]: edges into node i are [in_start[i], in_start[i+1])
  at::Tensor out_start;    // int64 [N+1]: out_edge[out_start[j]..out_start[j+1]) leave node j
  at::Tensor out_edge;     // int64 [E]: edge ids sorted by (source, target)
  at::Tensor graph_start;  // int64 [G+1]
  at::Tensor graph;        // int64 [N]: graph of each node, ascending

  // float [R, T] (NaN = missing) or int64 [R] (-1 = missing); subtoken tasks: int64 [G, words]
  at::Tensor label;
  at::Tensor
      label_row;    // node tasks on part of a graph: int64 [R] node rows that count; else undefined
  at::Tensor pair;  // edge tasks: int64 [P, 2] node rows; else undefined

  // Encoding columns by name. Per node: [N, K]; per pair: uint8 [Σ n²] with pair_start int64 [G+1].
  std::map<std::string, at::Tensor> encoding;
  at::Tensor pair_start;  // int64 [G+1]: Σ n² offsets; defined when a per-pair column is present

  std::int64_t nodes() const { return node.defined() ? node.size(0) : 0; }
  std::int64_t edges() const { return source.size(0); }
};

// Fills in in_start, out_start, out_edge, graph_start from `source`, `target` (any order) and
// `graph` (ascending): sorts edges by (target, source), stably, and permutes `edge` alike.
// For graphs that did not come from a store. Returns the permutation (int64 [E], new -> old).
at::Tensor finish(GraphBatch& batch, std::int64_t nodes, std::int64_t graphs);

// Packs the given graphs of a data set with their encoding columns. `rows`, for single-graph node
// tasks, lists the nodes whose labels count. Single-threaded; callers parallelise over batches.
GraphBatch collate(const Dataset& dataset, std::span<const Column> encodings,
                   std::span<const std::int64_t> graphs, std::span<const std::int64_t> rows = {});

}  // namespace gtrain::data

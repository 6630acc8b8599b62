#include "gtrain/data/batch.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "gtrain/base/error.h"
#include "gtrain/data/square.h"

namespace gtrain::data {
namespace {

at::Tensor new_int64(std::int64_t size) { return at::empty({size}, at::kLong); }

// Fills counts[begin..] into running sums: start[0] = 0, start[i+1] = start[i] + count of i.
template <class Key>
void count_into(std::int64_t* start, std::int64_t nodes, std::int64_t edges, Key key) {
  std::fill(start, start + nodes + 1, 0);
  for (std::int64_t e = 0; e < edges; ++e) ++start[key(e) + 1];
  for (std::int64_t i = 0; i < nodes; ++i) start[i + 1] += start[i];
}

// The transpose lists: edges are sorted by (target, source), so a stable counting sort by source
// leaves them sorted by (source, target).
void fill_outgoing(GraphBatch& batch, std::int64_t nodes) {
  const std::int64_t edges = batch.edges();
  batch.out_start = new_int64(nodes + 1);
  batch.out_edge = new_int64(edges);
  auto* start = batch.out_start.mutable_data_ptr<std::int64_t>();
  auto* out = batch.out_edge.mutable_data_ptr<std::int64_t>();
  const auto* source = batch.source.const_data_ptr<std::int64_t>();
  count_into(start, nodes, edges, [&](std::int64_t e) { return source[e]; });
  std::vector<std::int64_t> next(start, start + nodes);
  for (std::int64_t e = 0; e < edges; ++e) out[next[static_cast<std::size_t>(source[e])]++] = e;
}

std::vector<std::int64_t> sorted_by(const std::int64_t* key, std::int64_t nodes,
                                    const std::vector<std::int64_t>& order) {
  std::vector<std::int64_t> next(static_cast<std::size_t>(nodes) + 1);
  const auto edges = static_cast<std::int64_t>(order.size());
  count_into(next.data(), nodes, edges, [&](std::int64_t e) { return key[e]; });
  std::vector<std::int64_t> sorted(order.size());
  for (const std::int64_t e : order) {
    sorted[static_cast<std::size_t>(next[static_cast<std::size_t>(key[e])]++)] = e;
  }
  return sorted;
}

// values[rows], rows of the first dimension.
at::Tensor gathered(const at::Tensor& values, const std::vector<std::int64_t>& rows) {
  std::vector<std::int64_t> shape = values.sizes().vec();
  const auto count = static_cast<std::size_t>(shape[0]);
  shape[0] = static_cast<std::int64_t>(rows.size());
  at::Tensor out = at::empty(shape, values.scalar_type());
  if (rows.empty() || count == 0) return out;
  const std::size_t bytes = values.nbytes() / count;
  const auto* from = static_cast<const char*>(values.const_data_ptr());
  auto* to = static_cast<char*>(out.mutable_data_ptr());
  for (const std::int64_t row : rows) {
    std::memcpy(to, from + static_cast<std::size_t>(row) * bytes, bytes);
    to += bytes;
  }
  return out;
}

void check_ends(const std::int64_t* ends, std::int64_t edges, std::int64_t below,
                const char* what) {
  for (std::int64_t e = 0; e < edges; ++e) {
    if (ends[e] < 0 || ends[e] >= below) {
      throw base::DataError(fmt::format("batch: {} of entry {} is {}; expected 0 to {}", what, e,
                                        ends[e], below - 1));
    }
  }
}

// One batch being packed. Graph k of the batch is data-set graph ids[k].
class Collator {
 public:
  Collator(const Dataset& dataset, std::span<const std::int64_t> ids) : d_(dataset), ids_(ids) {
    for (const std::int64_t g : ids) {
      if (g < 0 || g >= d_.graphs()) {
        throw base::DataError(
            fmt::format("{}: graph {}; expected 0 to {}", d_.info.name, g, d_.graphs() - 1));
      }
      nodes_ += d_.nodes_of(g);
      edges_ += edge_begin(g + 1) - edge_begin(g);
    }
  }

  GraphBatch run(std::span<const Column> encodings, std::span<const std::int64_t> rows) {
    batch_.graphs = static_cast<std::int64_t>(ids_.size());
    batch_.graph_ids.assign(ids_.begin(), ids_.end());
    structure();
    fill_outgoing(batch_, nodes_);
    batch_.node = features(d_.node_features, Per::kNode, d_.info.node_categories);
    batch_.edge = features(d_.edge_features, Per::kEdge, d_.info.edge_categories);
    labels();
    if (!d_.pairs.empty()) pairs();
    for (const Column& column : encodings) encode(column);
    if (!rows.empty()) keep_rows(rows);
    return std::move(batch_);
  }

 private:
  std::int64_t node_begin(std::int64_t g) const { return d_.node_start.as<std::int64_t>()[g]; }
  std::int64_t edge_begin(std::int64_t g) const { return d_.edge_start.as<std::int64_t>()[g]; }

  void structure() {
    batch_.source = new_int64(edges_);
    batch_.target = new_int64(edges_);
    batch_.in_start = new_int64(nodes_ + 1);
    batch_.graph_start = new_int64(batch_.graphs + 1);
    batch_.graph = new_int64(nodes_);
    auto* source = batch_.source.mutable_data_ptr<std::int64_t>();
    auto* target = batch_.target.mutable_data_ptr<std::int64_t>();
    auto* in_start = batch_.in_start.mutable_data_ptr<std::int64_t>();
    auto* graph_start = batch_.graph_start.mutable_data_ptr<std::int64_t>();
    auto* graph = batch_.graph.mutable_data_ptr<std::int64_t>();
    const auto* row_start = d_.row_start.as<std::int64_t>();
    const auto* stored = d_.source.as<std::int32_t>();
    std::int64_t node = 0;
    std::int64_t edge = 0;
    for (std::size_t k = 0; k < ids_.size(); ++k) {
      const std::int64_t g = ids_[k];
      const std::int64_t first = node;
      graph_start[k] = first;
      for (std::int64_t r = node_begin(g); r < node_begin(g + 1); ++r, ++node) {
        graph[node] = static_cast<std::int64_t>(k);
        in_start[node] = edge;
        for (std::int64_t e = row_start[r]; e < row_start[r + 1]; ++e, ++edge) {
          source[edge] = first + stored[e];
          target[edge] = node;
        }
      }
    }
    in_start[nodes_] = edge;
    graph_start[ids_.size()] = node;
  }

  std::pair<std::int64_t, std::int64_t> range(Per per, std::int64_t g) const {
    switch (per) {
      case Per::kGraph:
        return {g, g + 1};
      case Per::kNode:
        return {node_begin(g), node_begin(g + 1)};
      case Per::kEdge:
        return {edge_begin(g), edge_begin(g + 1)};
      case Per::kPair:
        break;
    }
    const auto graph = static_cast<std::size_t>(g);
    return {square_start_[graph], square_start_[graph + 1]};
  }

  // Copies the rows of the batch's graphs, converting element by element where the types differ.
  template <class To, class RangeOf>
  at::Tensor packed(const Column& column, at::ScalarType type, RangeOf range_of) const {
    std::int64_t rows = 0;
    for (const std::int64_t g : ids_) {
      const auto [begin, end] = range_of(g);
      rows += end - begin;
    }
    at::Tensor out = at::empty({rows, column.width}, type);
    auto* to = out.mutable_data_ptr<To>();
    visit(column, [&](const auto* from) {
      for (const std::int64_t g : ids_) {
        const auto [begin, end] = range_of(g);
        for (std::int64_t i = begin * column.width; i < end * column.width; ++i) {
          *to++ = static_cast<To>(from[i]);
        }
      }
    });
    return out;
  }

  at::Tensor features(const Column& column, Per per,
                      const std::vector<std::int64_t>& categories) const {
    const auto range_of = [&](std::int64_t g) { return range(per, g); };
    if (column.width == 0 || column.rows == 0) {
      const std::int64_t rows = per == Per::kNode ? nodes_ : edges_;
      return at::empty({rows, rows == 0 ? column.width : 0},
                       categories.empty() ? at::kFloat : at::kLong);
    }
    return categories.empty() ? packed<float>(column, at::kFloat, range_of)
                              : packed<std::int64_t>(column, at::kLong, range_of);
  }

  void labels() {
    const Level level = level_of(d_.info.task);
    const auto range_of = [&](std::int64_t g) -> std::pair<std::int64_t, std::int64_t> {
      if (level == Level::kEdge) return pair_range(g);
      return range(level == Level::kNode ? Per::kNode : Per::kGraph, g);
    };
    if (is_class(d_.info.task) || is_subtoken(d_.info.task)) {
      batch_.label = packed<std::int64_t>(d_.labels, at::kLong, range_of);
      if (is_class(d_.info.task)) batch_.label = batch_.label.flatten();
    } else {
      batch_.label = packed<float>(d_.labels, at::kFloat, range_of);
    }
  }

  std::pair<std::int64_t, std::int64_t> pair_range(std::int64_t g) const {
    const auto* start = d_.pair_start.as<std::int64_t>();
    return {start[g], start[g + 1]};
  }

  void pairs() {
    batch_.pair =
        packed<std::int64_t>(d_.pairs, at::kLong, [&](std::int64_t g) { return pair_range(g); });
    auto* to = batch_.pair.mutable_data_ptr<std::int64_t>();
    const auto* first = batch_.graph_start.const_data_ptr<std::int64_t>();
    for (std::size_t k = 0; k < ids_.size(); ++k) {
      const auto [begin, end] = pair_range(ids_[k]);
      for (std::int64_t i = 2 * begin; i < 2 * end; ++i) *to++ += first[k];
    }
  }

  void encode(const Column& column) {
    if (column.per == Per::kPair && square_start_.empty()) square_start_ = square_starts(d_);
    const auto range_of = [&](std::int64_t g) { return range(column.per, g); };
    at::Tensor& out = batch_.encoding[column.name];
    if (column.per == Per::kPair && column.dtype == DType::kU8) {
      out = packed<std::uint8_t>(column, at::kByte, range_of);
      if (column.width == 1) out = out.flatten();
    } else if (column.integer()) {
      out = packed<std::int64_t>(column, at::kLong, range_of);
    } else {
      out = packed<float>(column, at::kFloat, range_of);
    }
    if (column.per == Per::kPair && !batch_.pair_start.defined()) batch_squares();
  }

  void batch_squares() {
    batch_.pair_start = new_int64(batch_.graphs + 1);
    auto* start = batch_.pair_start.mutable_data_ptr<std::int64_t>();
    start[0] = 0;
    for (std::size_t k = 0; k < ids_.size(); ++k) {
      const auto [begin, end] = range(Per::kPair, ids_[k]);
      start[k + 1] = start[k] + end - begin;
    }
  }

  void keep_rows(std::span<const std::int64_t> rows) {
    if (ids_.size() != 1 || level_of(d_.info.task) != Level::kNode) {
      throw base::DataError(d_.info.name + ": rows are for one graph with node labels");
    }
    const std::vector<std::int64_t> list(rows.begin(), rows.end());
    check_ends(list.data(), static_cast<std::int64_t>(list.size()), nodes_, "labelled node");
    batch_.label_row = new_int64(static_cast<std::int64_t>(list.size()));
    std::copy(list.begin(), list.end(), batch_.label_row.mutable_data_ptr<std::int64_t>());
    batch_.label = gathered(batch_.label, list);
  }

  const Dataset& d_;
  std::span<const std::int64_t> ids_;
  std::int64_t nodes_ = 0, edges_ = 0;
  std::vector<std::int64_t> square_start_;  // of the data set, where a column needs them
  GraphBatch batch_;
};

}  // namespace

at::Tensor finish(GraphBatch& batch, std::int64_t nodes, std::int64_t graphs) {
  const std::int64_t edges = batch.source.numel();
  batch.source = batch.source.contiguous();
  batch.target = batch.target.contiguous();
  batch.graph = batch.graph.contiguous();
  const auto* source = batch.source.const_data_ptr<std::int64_t>();
  const auto* target = batch.target.const_data_ptr<std::int64_t>();
  const auto* graph = batch.graph.const_data_ptr<std::int64_t>();
  check_ends(source, edges, nodes, "source");
  check_ends(target, edges, nodes, "target");
  check_ends(graph, nodes, graphs, "graph");
  if (!std::is_sorted(graph, graph + nodes)) {
    throw base::DataError("batch: graph ids are not ascending; expected nodes graph by graph");
  }
  std::vector<std::int64_t> order(static_cast<std::size_t>(edges));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  order = sorted_by(target, nodes, sorted_by(source, nodes, order));
  batch.source = gathered(batch.source, order);
  batch.target = gathered(batch.target, order);
  if (batch.edge.defined() && batch.edge.size(0) == edges) {
    batch.edge = gathered(batch.edge.contiguous(), order);
  }
  batch.graphs = graphs;
  batch.in_start = new_int64(nodes + 1);
  const auto* sorted = batch.target.const_data_ptr<std::int64_t>();
  count_into(batch.in_start.mutable_data_ptr<std::int64_t>(), nodes, edges,
             [&](std::int64_t e) { return sorted[e]; });
  fill_outgoing(batch, nodes);
  batch.graph_start = new_int64(graphs + 1);
  count_into(batch.graph_start.mutable_data_ptr<std::int64_t>(), graphs, nodes,
             [&](std::int64_t i) { return graph[i]; });
  at::Tensor permutation = new_int64(edges);
  std::copy(order.begin(), order.end(), permutation.mutable_data_ptr<std::int64_t>());
  return permutation;
}

GraphBatch collate(const Dataset& dataset, std::span<const Column> encodings,
                   std::span<const std::int64_t> graphs, std::span<const std::int64_t> rows) {
  return Collator(dataset, graphs).run(encodings, rows);
}

}  // namespace gtrain::data

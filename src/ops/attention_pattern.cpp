#include "gtrain/ops/attention_pattern.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>

#include "ops/detail/parallel.h"
#include "ops/detail/pattern_builder.h"
#include "ops/detail/stable_order.h"

namespace gtrain::ops {
namespace {

constexpr std::int64_t kPairChunk = 16384;

// body(begin, end) over fixed ranges of `size` entries.
template <class Body>
void parallel_range(std::int64_t size, const Body& body) {
  detail::parallel_tasks(
      (size + kPairChunk - 1) / kPairChunk, size < kPairChunk,
      [&](std::int64_t t) { body(t * kPairChunk, std::min(size, (t + 1) * kPairChunk)); });
}

// The row of every pair.
at::Tensor rows_of_pairs(const at::Tensor& row_start) {
  const std::int64_t n = row_start.size(0) - 1;
  const std::int64_t* start = row_start.const_data_ptr<std::int64_t>();
  at::Tensor rows = at::empty({start[n]}, at::kInt);
  auto* out = rows.mutable_data_ptr<std::int32_t>();
  parallel_range(start[n], [&](std::int64_t begin, std::int64_t end) {
    std::int64_t r = std::upper_bound(start, start + n + 1, begin) - start - 1;
    for (std::int64_t p = begin; p < end; ++p) {
      while (start[r + 1] <= p) ++r;
      out[p] = static_cast<std::int32_t>(r);
    }
  });
  return rows;
}

void transpose(AttentionPattern& pattern, std::int64_t columns) {
  const std::int64_t p = pattern.column.size(0);
  pattern.column_start = at::empty({columns + 1}, at::kLong);
  pattern.pair = at::empty({p}, at::kLong);
  pattern.row = at::empty({p}, at::kInt);
  auto* pair = pattern.pair.mutable_data_ptr<std::int64_t>();
  detail::stable_order(pattern.column.const_data_ptr<std::int32_t>(), p, columns,
                       pattern.column_start.mutable_data_ptr<std::int64_t>(), pair);
  const at::Tensor rows = rows_of_pairs(pattern.row_start);
  const auto* from = rows.const_data_ptr<std::int32_t>();
  auto* to = pattern.row.mutable_data_ptr<std::int32_t>();
  parallel_range(p, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t t = begin; t < end; ++t) to[t] = from[pair[t]];
  });
}

void check_vector(const char* name, const at::Tensor& t, at::ScalarType type, std::int64_t size) {
  TORCH_CHECK(
      t.dim() == 1 && t.is_cpu() && t.scalar_type() == type && (size < 0 || t.size(0) == size),
      "[attention_pattern] ", name, " has shape ", t.sizes(), " and type ", t.scalar_type(),
      "; expected ", type, " [", size < 0 ? "?" : std::to_string(size), "] on the CPU");
}

void check_range(const char* name, const at::Tensor& t, std::int64_t bound) {
  if (t.size(0) == 0) return;
  const auto least = t.min().item<std::int64_t>(), most = t.max().item<std::int64_t>();
  TORCH_CHECK(least >= 0 && most < bound, "[attention_pattern] ", name, " reaches from ", least,
              " to ", most, "; expected 0 to ", bound - 1);
}

std::int64_t count_types(const at::Tensor& type, std::int64_t types) {
  const std::int64_t used =
      type.defined() && type.size(0) > 0 ? type.max().item<std::int64_t>() + 1 : 1;
  TORCH_CHECK(types == 0 || used <= types, "[attention_pattern] type reaches ", used - 1,
              "; expected less than ", types);
  return types == 0 ? used : types;
}

}  // namespace

std::int64_t AttentionPattern::rows() const {
  if (!full()) return row_start.size(0) - 1;
  return graph_start.const_data_ptr<std::int64_t>()[graphs()];
}
std::int64_t AttentionPattern::columns() const {
  return full() ? rows() : column_start.size(0) - 1;
}
std::int64_t AttentionPattern::pairs() const {
  if (!full()) return column.size(0);
  const auto* start = graph_start.const_data_ptr<std::int64_t>();
  std::int64_t total = 0;
  for (std::int64_t g = 0; g < graphs(); ++g) {
    total += (start[g + 1] - start[g]) * (start[g + 1] - start[g]);
  }
  return total;
}

namespace detail {

void check_graph_start(const at::Tensor& graph_start) {
  check_vector("graph_start", graph_start, at::kLong, -1);
  TORCH_CHECK(graph_start.size(0) >= 1, "[attention_pattern] graph_start is empty; expected [G+1]");
  const at::Tensor start = graph_start.contiguous();
  const auto* s = start.const_data_ptr<std::int64_t>();
  TORCH_CHECK(s[0] == 0 && std::is_sorted(s, s + start.size(0)),
              "[attention_pattern] graph_start does not ascend from 0");
  TORCH_CHECK(s[start.size(0) - 1] < std::numeric_limits<std::int32_t>::max(),
              "[attention_pattern] ", s[start.size(0) - 1], " nodes; expected less than 2^31 - 1");
}

}  // namespace detail

AttentionPattern csr_pattern(const at::Tensor& graph_start, const at::Tensor& row_start,
                             const at::Tensor& column, std::int64_t columns, const at::Tensor& type,
                             std::int64_t types) {
  detail::check_graph_start(graph_start);
  check_vector("row_start", row_start, at::kLong, -1);
  const at::Tensor start = row_start.contiguous();
  const auto* s = start.const_data_ptr<std::int64_t>();
  TORCH_CHECK(start.size(0) >= 1 && s[0] == 0 && std::is_sorted(s, s + start.size(0)),
              "[attention_pattern] row_start does not ascend from 0");
  check_vector("column", column, at::kInt, s[start.size(0) - 1]);
  TORCH_CHECK(columns >= 0 && columns < std::numeric_limits<std::int32_t>::max() &&
                  start.size(0) <= std::numeric_limits<std::int32_t>::max(),
              "[attention_pattern] ", start.size(0) - 1, " rows and ", columns,
              " columns; expected less than 2^31 - 1");
  check_range("column", column, columns);
  if (type.defined()) check_vector("type", type, at::kByte, column.size(0));
  AttentionPattern pattern;
  pattern.graph_start = graph_start.contiguous();
  pattern.row_start = start;
  pattern.column = column.contiguous();
  pattern.type = type.defined() ? type.contiguous() : type;
  pattern.types = count_types(type, types);
  transpose(pattern, columns);
  return pattern;
}

AttentionPattern pair_pattern(const at::Tensor& graph_start, const at::Tensor& row,
                              const at::Tensor& column, std::int64_t rows, std::int64_t columns,
                              const at::Tensor& type, std::int64_t types) {
  TORCH_CHECK(row.dim() == 1 && row.sizes() == column.sizes(),
              "[attention_pattern] row and column have shapes ", row.sizes(), " and ",
              column.sizes(), "; expected [P] both");
  if (type.defined()) check_vector("type", type, at::kByte, row.size(0));
  check_range("row", row, rows);
  check_range("column", column, columns);
  const std::int64_t p = row.size(0);
  // Sorted by column, then stably by row.
  at::Tensor order = at::empty({p}, at::kLong), again = at::empty({p}, at::kLong);
  at::Tensor column_start = at::empty({columns + 1}, at::kLong);
  at::Tensor row_start = at::empty({rows + 1}, at::kLong);
  const at::Tensor column32 = column.to(at::kInt).contiguous();
  detail::stable_order(column32.const_data_ptr<std::int32_t>(), p, columns,
                       column_start.mutable_data_ptr<std::int64_t>(),
                       order.mutable_data_ptr<std::int64_t>());
  const at::Tensor by_column = row.to(at::kInt).index_select(0, order);
  detail::stable_order(by_column.const_data_ptr<std::int32_t>(), p, rows,
                       row_start.mutable_data_ptr<std::int64_t>(),
                       again.mutable_data_ptr<std::int64_t>());
  order = order.index_select(0, again);
  return csr_pattern(graph_start, row_start, column32.index_select(0, order), columns,
                     type.defined() ? type.index_select(0, order) : type, types);
}

AttentionPattern full_pattern(const at::Tensor& graph_start) {
  detail::check_graph_start(graph_start);
  AttentionPattern pattern;
  pattern.graph_start = graph_start.contiguous();
  return pattern;
}

const std::vector<PatternListing>& pattern_catalog() {
  static const std::vector<PatternListing> table = {
      {"full", "", "every pair of nodes inside each graph (never listed)"},
      {"neighbours", "self = false", "the sources of the edges into a node"},
      {"k_hop", "hops = 2, self = true", "all nodes at most `hops` edges away, typed by distance"},
      {"window", "width = 4, dilation = 1, self = true",
       "sliding window over the node numbers, every `dilation`-th one"},
      {"random", "degree = 4, seed = 0", "`degree` random nodes of the graph per node"},
      {"expander", "degree = 3, kind = permutation | hamiltonian, seed = 0",
       "random regular expander of Exphormer"},
      {"global", "count = 1", "the first `count` nodes of a graph with all others, both ways"},
      {"virtual", "count = 1", "`count` extra nodes per graph with all others, both ways"},
      {"union", "parts", "every pair of any part, typed by part and type; the first part wins"},
      {"top_m", "m", "the `m` best-scored pairs of each row of another pattern"},
  };
  return table;
}

}  // namespace gtrain::ops

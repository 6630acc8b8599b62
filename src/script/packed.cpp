#include "gtrain/script/packed.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <span>

#include "gtrain/graph/csr.h"

namespace gtrain::script {
namespace {

void check_index(const at::Tensor& t, const char* what) {
  TORCH_CHECK(t.is_cpu(), what, ": is on ", t.device(),
              "; the fused operators run on the CPU (export without --fused for other devices)");
  TORCH_CHECK(t.dim() == 1 && t.scalar_type() == at::kLong, what, ": has shape ", t.sizes(),
              " and type ", t.scalar_type(), "; expected int64 [N]");
}

std::span<const std::int64_t> numbers(const at::Tensor& contiguous) {
  return {contiguous.const_data_ptr<std::int64_t>(), static_cast<std::size_t>(contiguous.numel())};
}

// Throws where a number of `ids` lies outside [0, nodes).
void check_ends(const at::Tensor& ids, std::int64_t nodes, const char* what) {
  for (const std::int64_t id : numbers(ids)) {
    TORCH_CHECK(id >= 0 && id < nodes, what, ": holds ", id, "; expected 0 to ", nodes - 1);
  }
}

}  // namespace

at::Tensor starts(const at::Tensor& index, std::int64_t count, const char* what) {
  check_index(index, what);
  TORCH_CHECK(count >= 0, what, ": has ", count, " segments; expected 0 or more");
  const at::Tensor dense = index.contiguous();
  at::Tensor out = at::empty({count + 1}, at::kLong);
  std::int64_t* start = out.mutable_data_ptr<std::int64_t>();
  const std::int64_t n = dense.numel();
  const std::int64_t* id = dense.const_data_ptr<std::int64_t>();
  std::int64_t next = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    TORCH_CHECK(id[i] >= 0 && id[i] < count, what, ": holds ", id[i], "; expected 0 to ",
                count - 1);
    TORCH_CHECK(i == 0 || id[i] >= id[i - 1], what, ": is not ascending");
    while (next <= id[i]) start[next++] = i;
  }
  std::fill(start + next, start + count + 1, n);
  return out;
}

at::Tensor graph_start(const at::Tensor& batch) {
  check_index(batch, "batch");
  const std::int64_t n = batch.numel();
  return starts(batch, n == 0 ? 0 : batch[n - 1].item<std::int64_t>() + 1, "batch");
}

std::tuple<at::Tensor, at::Tensor> sort_edges(const at::Tensor& edge_index,
                                              const at::Tensor& edge_attr, std::int64_t nodes) {
  TORCH_CHECK(edge_index.dim() == 2 && edge_index.size(0) == 2, "edge_index: has shape ",
              edge_index.sizes(), "; expected int64 [2, E]");
  TORCH_CHECK(edge_attr.dim() == 2 && edge_attr.size(0) == edge_index.size(1),
              "edge_attr: has shape ", edge_attr.sizes(), "; expected [", edge_index.size(1),
              ", Fe]");
  const at::Tensor source = edge_index[0].contiguous(), target = edge_index[1].contiguous();
  check_index(source, "edge_index");
  const graph::Csr rows = graph::build(nodes, numbers(source), numbers(target));
  const at::Tensor order = at::empty({rows.edges()}, at::kLong);
  std::copy(rows.edge.begin(), rows.edge.end(), order.mutable_data_ptr<std::int64_t>());
  return {edge_index.index_select(1, order), edge_attr.index_select(0, order)};
}

ops::EdgeIndex forward_edges(const at::Tensor& source, const at::Tensor& target,
                             std::int64_t nodes) {
  ops::EdgeIndex out;
  out.in_start = starts(target, nodes, "edge_index");
  check_index(source, "edge_index");
  out.source = source.contiguous();
  out.target = target.contiguous();
  TORCH_CHECK(source.numel() == target.numel(), "edge_index: ", source.numel(), " sources for ",
              target.numel(), " targets");
  check_ends(out.source, nodes, "edge_index");
  out.out_start = out.in_start;
  out.out_edge = out.source;
  return out;
}

namespace {

// A pattern whose transpose only has the right shape.
ops::AttentionPattern untransposed(const at::Tensor& row_start, const at::Tensor& column,
                                   const at::Tensor& pair) {
  ops::AttentionPattern out;
  out.graph_start = at::tensor({std::int64_t{0}, row_start.numel() - 1}, at::kLong);
  out.row_start = row_start;
  out.column = column;
  out.column_start = row_start;
  out.row = column;
  out.pair = pair;
  return out;
}

}  // namespace

ops::AttentionPattern forward_pattern(const at::Tensor& source, const at::Tensor& target,
                                      std::int64_t nodes) {
  const ops::EdgeIndex edges = forward_edges(source, target, nodes);
  return untransposed(edges.in_start, edges.source.to(at::kInt), edges.source);
}

ops::AttentionPattern forward_pairs(const at::Tensor& row_start, const at::Tensor& column,
                                    std::int64_t nodes) {
  check_index(row_start, "row_start");
  TORCH_CHECK(row_start.numel() == nodes + 1, "row_start: has ", row_start.numel(),
              " entries; expected ", nodes + 1);
  TORCH_CHECK(column.is_cpu() && column.dim() == 1 && column.scalar_type() == at::kInt,
              "column: has shape ", column.sizes(), " and type ", column.scalar_type(),
              "; expected int32 [P]");
  const at::Tensor start = row_start.contiguous(), which = column.contiguous();
  const std::span<const std::int64_t> s = numbers(start);
  TORCH_CHECK(s.front() == 0 && s.back() == which.numel() && std::is_sorted(s.begin(), s.end()),
              "row_start: goes from ", s.front(), " to ", s.back(),
              "; expected ascending from 0 to ", which.numel(), " pairs");
  const std::int32_t* c = which.const_data_ptr<std::int32_t>();
  for (std::int64_t p = 0; p < which.numel(); ++p) {
    TORCH_CHECK(c[p] >= 0 && c[p] < nodes, "column: holds ", c[p], "; expected 0 to ", nodes - 1);
  }
  return untransposed(start, which, at::empty({which.numel()}, at::kLong));
}

}  // namespace gtrain::script

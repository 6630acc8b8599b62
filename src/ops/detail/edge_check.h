// What the front doors check about the edges of a batch before their numbers are read as they
// stand. The ends of the edges are taken on trust: looking at each of them would cost as much as
// the op.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "gtrain/ops/edge_index.h"

namespace gtrain::ops::detail {

inline void check_edge_index(const char* op, const EdgeIndex& edges) {
  const auto check = [&](const char* name, const at::Tensor& t, std::int64_t size) {
    TORCH_CHECK(
        t.scalar_type() == at::kLong && t.dim() == 1 && t.size(0) == size && t.is_contiguous(), "[",
        op, "] edges.", name, " has shape ", t.sizes(), " and type ", t.scalar_type(),
        "; expected contiguous int64 [", size, "]");
  };
  check("in_start", edges.in_start, edges.in_start.numel());
  TORCH_CHECK(edges.in_start.size(0) > 0, "[", op, "] edges.in_start is empty; expected [N+1]");
  check("out_start", edges.out_start, edges.nodes() + 1);
  check("source", edges.source, edges.source.numel());
  check("target", edges.target, edges.count());
  check("out_edge", edges.out_edge, edges.count());
  for (const at::Tensor& start : {edges.in_start, edges.out_start}) {
    if (!start.is_cpu()) continue;
    const std::int64_t* s = start.const_data_ptr<std::int64_t>();
    TORCH_CHECK(s[0] == 0 && s[edges.nodes()] == edges.count(), "[", op, "] edges start from ",
                s[0], " to ", s[edges.nodes()], "; expected from 0 to ", edges.count(), " edges");
  }
}

}  // namespace gtrain::ops::detail

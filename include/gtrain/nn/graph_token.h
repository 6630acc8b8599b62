// The graph token of Graphormer (Ying et al. 2021): one learned row that stands in front of every
// graph's nodes and belongs to it like a node. N node rows of G graphs become N + G rows.
// Parameter vector [1, D], N(0, 0.02²).
#pragma once

#include "gtrain/nn/layer.h"

namespace gtrain::nn {

class GraphToken final : public Layer {
 public:
  // unstable: a quirk of GraphGPS's port, whose torch.sort of graph ids does not keep the order of
  // equal ones: tokens and nodes of a graph trade rows, as the C++ library's std::sort leaves them.
  explicit GraphToken(std::int64_t width, bool unstable = false);
  // x [N, D], graph_start int64 [G+1] on the CPU -> [N + G, D], token first in each graph.
  at::Tensor forward(const at::Tensor& x, const at::Tensor& graph_start);
  // forward(self, x: Tensor, batch: Tensor) -> Tensor, and extended(self, batch: Tensor) -> Tensor:
  // graph of each of the N + G rows.
  std::string script() const override;
  void initialise(base::Random& random) override;
  // Whether the token is the first row of every graph.
  bool in_front() const { return !unstable_; }

  at::Tensor vector;

 private:
  bool unstable_;
};

// graph_start with one more row in each graph.
at::Tensor token_start(const at::Tensor& graph_start);

// Rows of the nodes among the N + G rows: int64 [N].
at::Tensor node_rows(const at::Tensor& graph_start);

}  // namespace gtrain::nn

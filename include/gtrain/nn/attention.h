// Multi-head self-attention inside each graph of a packed batch (ops/varlen_attention.h) with its
// input and output projections: out = Drop_p(softmax(q k^T / sqrt(d))) v W_o^T + b_o.
// Parameters in_weight [3D, D] (rows q | k | v), in_bias [3D], out_weight [D, D], out_bias [D].
// Initialisation of torch.nn.MultiheadAttention: in_weight xavier over the stacked matrix,
// out_weight U(±1/sqrt(D)), biases 0.
#pragma once

#include "gtrain/nn/layer.h"

namespace gtrain::nn {

class Attention final : public Layer {
 public:
  Attention(std::int64_t width, std::int64_t heads, double dropout);
  at::Tensor forward(const at::Tensor& x, const at::Tensor& graph_start, Context& context);
  // forward(self, x: Tensor, groups: List[Tensor]) with groups from graph_groups (below): node rows
  // [g, n] of the graphs of each size n.
  std::string script() const override;
  void initialise(base::Random& random) override;

  at::Tensor in_weight, in_bias, out_weight, out_bias;

 private:
  std::int64_t heads_;
  double dropout_;
};

// TorchScript text of `def graph_groups(self, batch: Tensor) -> List[Tensor]`: rows of the graphs
// of equal size, so that attention runs unpadded over one dense block per size.
std::string graph_groups_script();

}  // namespace gtrain::nn

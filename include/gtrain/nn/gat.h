// GAT (Velickovic et al. 2018) with edge vectors, as PyG defines it: H heads of C = D/H channels,
//   h = W x       s_ji = leaky_relu(a_source · h_j + a_target · h_i + a_edge · W_e e_ji, 0.2)
//   out_i = sum_j softmax_j(s_ji) h_j + b        j over the neighbours of i and i itself
// Self loops of the graph are replaced by one per node, whose edge vector is the mean of the others
// into that node (0 where there is none). Weights xavier uniform, a over the matrix [H, C], b 0.
#pragma once

#include <utility>

#include "gtrain/nn/local.h"

namespace gtrain::nn {

class Gat final : public Local {
 public:
  Gat(std::int64_t width, std::int64_t heads);
  std::pair<at::Tensor, at::Tensor> forward(const LocalInput& input, Context& context) override;
  std::string script() const override;
  std::string fused_script() const override;
  void initialise(base::Random& random) override;

  at::Tensor weight, edge_weight;                        // [D, D]
  at::Tensor attend_source, attend_target, attend_edge;  // [1, H, C]
  at::Tensor bias;                                       // [D]
};

}  // namespace gtrain::nn

// Equivariant and stable gates of messages (Wang et al. 2022, "Equivariant and Stable Positional
// Encoding for More Powerful Graph Neural Networks"): one number per edge that depends on the
// positions of its ends through their distance alone, so neither rotations nor sign flips of
// eigenvectors change it.
//   g_ji = sigmoid(W_1 act(W_0 |p_i - p_j|^2 + b_0) + b_1)        W_0 [D, 1], W_1 [1, D]
#pragma once

#include <memory>

#include "gtrain/nn/activation.h"
#include "gtrain/nn/layer.h"
#include "gtrain/nn/linear.h"

namespace gtrain::nn {

class Gate final : public Layer {
 public:
  Gate(std::int64_t width, Activation activation);
  // positions [N, K] -> [E, 1]
  at::Tensor forward(const at::Tensor& positions, const Edges& edges);
  std::string script() const override;  // forward(positions, source, target)

 private:
  Activation activation_;
  std::shared_ptr<Linear> first_, second_;  // linear_0, linear_1
};

}  // namespace gtrain::nn

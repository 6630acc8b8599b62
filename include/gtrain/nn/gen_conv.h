// GENConv (Li et al. 2020, "DeeperGCN"), as GPS uses it: softmax aggregation of rectified messages,
// channel by channel, at temperature 1.
//   m_ji = relu(x_j + e_ji) + 1e-7       w_ji = softmax over j of m_ji
//   out_i = mlp(x_i + sum_j w_ji m_ji)    mlp = Linear D -> 2D, BatchNorm, ReLU, Linear 2D -> D
// without biases. A node without edges in gets mlp(x_i).
#pragma once

#include <memory>
#include <utility>

#include "gtrain/nn/linear.h"
#include "gtrain/nn/local.h"
#include "gtrain/nn/norm.h"

namespace gtrain::nn {

class GenConv final : public Local {
 public:
  explicit GenConv(std::int64_t width);
  std::pair<at::Tensor, at::Tensor> forward(const LocalInput& input, Context& context) override;
  std::string script() const override;
  std::string fused_script() const override;

 private:
  std::shared_ptr<Linear> first_, second_;  // mlp_0, mlp_1
  std::shared_ptr<BatchNorm> norm_;         // "norm"
};

}  // namespace gtrain::nn

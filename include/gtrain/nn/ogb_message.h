// The convolutions of the example networks of the Open Graph Benchmark (Hu et al. 2020), local
// branches (nn/local.h) that differ from the papers' GIN and GCN. Edge j -> i is written ji;
// without edge vectors e is 0, as in GraphTrans's networks for sets that have none (Wu et al.
// 2021).
#pragma once

#include <memory>
#include <utility>

#include "gtrain/nn/linear.h"
#include "gtrain/nn/local.h"
#include "gtrain/nn/norm.h"

namespace gtrain::nn {

// mlp((1 + eps) x_i + sum_j relu(x_j + e_ji)), mlp = Linear D -> 2D, batch norm, ReLU, Linear 2D ->
// D; eps [1] is learned and begins at 0.
class OgbGin final : public Local {
 public:
  explicit OgbGin(std::int64_t width, bool edges = true);
  std::pair<at::Tensor, at::Tensor> forward(const LocalInput& input, Context& context) override;
  std::string script() const override;
  std::string fused_script() const override;
  void initialise(base::Random& random) override;

  at::Tensor eps;

 private:
  bool edges_;
  std::shared_ptr<Linear> first_, second_;  // mlp_0, mlp_1
  std::shared_ptr<BatchNorm> norm_;         // mlp_norm
};

// With h = W x + b and d_j = 1 + the number of edges that LEAVE j:
//   sum_j (d_i d_j)^-1/2 relu(h_j + e_ji) + relu(h_i + r) / d_i
// r [1, D] is learned, N(0, 1) at first.
class OgbGcn final : public Local {
 public:
  explicit OgbGcn(std::int64_t width, bool edges = true);
  std::pair<at::Tensor, at::Tensor> forward(const LocalInput& input, Context& context) override;
  std::string script() const override;
  std::string fused_script() const override;
  void initialise(base::Random& random) override;

  at::Tensor root;

 private:
  std::string text(const std::string& sum) const;  // `sum`: messages summed, and own

  bool edges_;
  std::shared_ptr<Linear> linear_;
};

}  // namespace gtrain::nn

// Local branches (nn/local.h) on node rows x [N, D] and edge rows e [E, D]: the GIN and GCN
// families. Edge j -> i is written ji.
#pragma once

#include <memory>
#include <optional>
#include <utility>

#include "gtrain/nn/activation.h"
#include "gtrain/nn/gate.h"
#include "gtrain/nn/linear.h"
#include "gtrain/nn/local.h"
#include "gtrain/nn/norm.h"

namespace gtrain::nn {

// GIN (Xu et al. 2019): mlp(x_i + sum_j x_j), mlp = Linear, act, Linear; eps = 0. Ignores e.
class Gin final : public Local {
 public:
  Gin(std::int64_t width, Activation activation);
  std::pair<at::Tensor, at::Tensor> forward(const LocalInput& input, Context& context) override;
  std::string script() const override;
  std::string fused_script() const override;

 private:
  Activation activation_;
  std::shared_ptr<Linear> first_, second_;  // mlp_0, mlp_1
};

// GINE (Hu et al. 2020): mlp(x_i + sum_j g_ji relu(x_j + e_ji)), mlp = Linear, act, Linear;
// eps = 0; g = 1, or the gate of nn/gate.h (with ReLU) where asked for.
// With a dropout it is residual_gine, a whole layer (Toenshoff et al. 2023):
//   x_i + Drop(Linear(Drop(act(Linear(x_i + sum_j …)))))
class Gine final : public Local {
 public:
  Gine(std::int64_t width, Activation activation, bool gates = false,
       std::optional<double> dropout = {});
  std::pair<at::Tensor, at::Tensor> forward(const LocalInput& input, Context& context) override;
  std::string script() const override;
  std::string fused_script() const override;
  bool residual() const override { return dropout_.has_value(); }

 private:
  Activation activation_;
  std::optional<double> dropout_;
  std::shared_ptr<Linear> first_, second_;  // mlp_0, mlp_1
  std::shared_ptr<Gate> gate_;              // "gate"
};

// GatedGCN (Bresson & Laurent 2017) with its own norm, activation, dropout and residual:
//   ê_ji = D x_i + E x_j + C e_ji    x_i' = A x_i + sum_j s_ji B x_j / (sum_j s_ji + 1e-6)
//   x <- x + Drop(act(BN(x')))       e <- e + Drop(act(BN(ê)))
// with s_ji = sigmoid(ê_ji), times the gate of nn/gate.h where asked for.
class GatedGcn final : public Local {
 public:
  GatedGcn(std::int64_t width, Activation activation, double dropout, bool gates = false);
  std::pair<at::Tensor, at::Tensor> forward(const LocalInput& input, Context& context) override;
  std::string script() const override;
  std::string fused_script() const override;
  bool residual() const override { return true; }

 private:
  std::pair<at::Tensor, at::Tensor> gated(const LocalInput& input, const at::Tensor& abde);

  Activation activation_;
  double dropout_;
  std::shared_ptr<Linear> a_, b_, c_, d_, e_;
  std::shared_ptr<Gate> gate_;  // "gate"
  std::shared_ptr<BatchNorm> norm_x_, norm_e_;
};

// GCN (Kipf & Welling 2017): D^-1/2 (A + I) D^-1/2 x W + b, one self loop per node, D = in-degree
// + 1 without the graph's own self loops. Weight U(±sqrt(6/(2D))); bias 0, or none. Ignores e.
class Gcn final : public Local {
 public:
  explicit Gcn(std::int64_t width, bool with_bias = true);
  std::pair<at::Tensor, at::Tensor> forward(const LocalInput& input, Context& context) override;
  std::string script() const override;
  std::string fused_script() const override;
  void initialise(base::Random& random) override;

  at::Tensor weight, bias;
};

}  // namespace gtrain::nn

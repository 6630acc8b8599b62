// The local branches of a graph transformer: one message-passing step on node rows x [N, D] and
// edge rows e [E, D]. Scripted forward of gine and gated_gcn: (x, e, source, target).
#pragma once

#include <memory>
#include <utility>

#include "gtrain/nn/activation.h"
#include "gtrain/nn/layer.h"
#include "gtrain/nn/linear.h"
#include "gtrain/nn/norm.h"

namespace gtrain::nn {

// GINE (Hu et al. 2020): mlp(x_i + sum_j relu(x_j + e_ji)), mlp = Linear, act, Linear; eps = 0.
class Gine final : public Layer {
 public:
  Gine(std::int64_t width, Activation activation);
  at::Tensor forward(const at::Tensor& x, const at::Tensor& e, const Edges& edges);
  std::string script() const override;

 private:
  Activation activation_;
  std::shared_ptr<Linear> first_, second_;  // mlp_0, mlp_1
};

// GatedGCN (Bresson & Laurent 2017) with its own norm, activation, dropout and residual:
//   ê_ji = D x_i + E x_j + C e_ji    x_i' = A x_i + sum_j s(ê_ji) B x_j / (sum_j s(ê_ji) + 1e-6)
//   x <- x + Drop(act(BN(x')))       e <- e + Drop(act(BN(ê)))
class GatedGcn final : public Layer {
 public:
  GatedGcn(std::int64_t width, Activation activation, double dropout);
  std::pair<at::Tensor, at::Tensor> forward(const at::Tensor& x, const at::Tensor& e,
                                            const Edges& edges, Context& context);
  std::string script() const override;  // returns (x, e)

 private:
  Activation activation_;
  double dropout_;
  std::shared_ptr<Linear> a_, b_, c_, d_, e_;
  std::shared_ptr<BatchNorm> norm_x_, norm_e_;
};

// GCN (Kipf & Welling 2017): D^-1/2 (A + I) D^-1/2 x W + b, one self loop per node, D = in-degree
// + 1 without the graph's own self loops. Weight U(±sqrt(6/(2D))), bias 0. Ignores e.
class Gcn final : public Layer {
 public:
  explicit Gcn(std::int64_t width);
  at::Tensor forward(const at::Tensor& x, const Edges& edges);
  std::string script() const override;  // forward(x, source, target)
  void initialise(base::Random& random) override;

  at::Tensor weight, bias;
};

}  // namespace gtrain::nn

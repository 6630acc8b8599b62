// A virtual node that carries linear attention (Cai et al. 2023, "On the Connection Between MPNN
// and Graph Transformer", theorem on O(1) depth and width): its state is the pair of sums that
// every query needs, so that two rounds of messages, nodes to it and it to nodes, are one attention
// layer over the whole graph. Per head, with q, k, v linear in x:
//   message i -> node:  phi(k_i) (x) [v_i, 1]         state: S = sum_i of them, [m, d+1]
//   message node -> i:  S                             update: (phi(q_i)^T S)_1..d / (phi(q_i)^T
//   S)_d+1
// elu: phi(x) = elu(x) + 1, m = d, and S_d+1 plus 1e-6 (Katharopoulos et al. 2020; without it the
//   quotient is 0/0 where fp32 rounds every elu(q) to -1). exp: positive random features
//   phi_q(x)_f = exp(u_f - h - max_f u) + eps                     u_f = s w_f . x, s = d^-1/4
//   phi_k(x)_f = exp(u_f - h - max of u over the graph's keys and f) + eps    h = s^2 |x|^2 / 2
// with eps = 1e-4 (FAVOR+; Choromanski et al. 2021): ops::linear_attention for the same weights.
#pragma once

#include <memory>
#include <string>

#include "gtrain/nn/layer.h"
#include "gtrain/nn/linear.h"
#include "gtrain/ops/gather.h"

namespace gtrain::nn {

class AttentionNode final : public Layer {
 public:
  enum class Features { kElu, kExp };
  struct Options {
    std::int64_t width = 64;  // D; each head has D/H channels
    std::int64_t heads = 4;
    Features features = Features::kElu;
    std::int64_t count = 64;  // m of exp
  };
  explicit AttentionNode(const Options& options);
  // x [N, D], graph: row of each node in the batch's graphs, graph_start int64 [G+1] -> [N, D].
  // N H m (d + 1) floats.
  at::Tensor forward(const at::Tensor& x, const ops::RowIndex& graph);
  std::string script() const override;  // forward(x, batch)
  std::string fused_script() const override;
  void initialise(base::Random& random) override;

  at::Tensor projection;  // buffer [m, d] of exp: orthogonal features

 private:
  // Features of x [N, H, d]: exp(u - h - top(u)) + eps, [N, H, m].
  template <class Top>
  at::Tensor random_features(const at::Tensor& x, Top top) const;
  std::string text(const char* products, const char* state) const;
  double floor() const;  // added to the denominator

  Options options_;
  std::shared_ptr<Linear> qkv_, out_;
};

}  // namespace gtrain::nn

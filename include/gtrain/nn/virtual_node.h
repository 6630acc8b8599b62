// Virtual nodes that are no rows of the graph: one state t [G, D] per graph beside the node vectors
// x [N, D]. What a state is told of its nodes and what it tells them:
//
//   ClassicNode (Gilmer et al. 2017; Hu et al. 2020), one MLP:
//     x_i <- x_i + t (by the caller)    t' = [t +] Drop(mlp(sum_i x_i + t))
//     mlp = Linear D -> H, batch norm, ReLU, Linear H -> D, batch norm, ReLU
//   HeterogeneousNode (Cai et al. 2023), weights of its own for each direction:
//     m = V t + c, added to what each node receives
//     t' = [t +] Drop(relu(BN(W t + b + U pool_i x_i)))
#pragma once

#include <memory>
#include <string>

#include "gtrain/nn/head.h"
#include "gtrain/nn/layer.h"
#include "gtrain/nn/linear.h"
#include "gtrain/nn/norm.h"
#include "gtrain/ops/gather.h"

namespace gtrain::nn {

// Rows of a packed batch by their graph, for ops::gather from [G, D].
// graph int64 [N], graph_start int64 [G+1].
ops::RowIndex by_graph(const at::Tensor& graph, const at::Tensor& graph_start);

class ClassicNode final : public Layer {
 public:
  struct Shape {
    std::int64_t width, hidden;  // D, H
  };
  ClassicNode(const Shape& shape, double dropout, bool residual);
  // x [N, D], t [G, D] -> t'
  at::Tensor forward(const at::Tensor& x, const at::Tensor& t, const at::Tensor& graph_start,
                     Context& context);
  std::string script() const override;  // forward(x, t, batch)
  std::string fused_script() const override;

 private:
  double dropout_;
  bool residual_;
  std::shared_ptr<Linear> first_, second_;         // mlp_0, mlp_1
  std::shared_ptr<BatchNorm> norm_in_, norm_out_;  // norm_0, norm_1
};

class HeterogeneousNode final : public Layer {
 public:
  struct Options {
    std::int64_t width = 64;
    Pool pool = Pool::kMean;  // sum or mean
    double dropout = 0.0;
    bool residual = true;
    bool updated = true;  // false: the last of a network, whose state nobody reads
  };
  explicit HeterogeneousNode(const Options& options);
  at::Tensor message(const at::Tensor& t);  // m [G, D]
  at::Tensor forward(const at::Tensor& x, const at::Tensor& t, const at::Tensor& graph_start,
                     Context& context);
  std::string script() const override;  // message(t), forward(x, t, batch)
  std::string fused_script() const override;

 private:
  Options options_;
  std::shared_ptr<Linear> to_node_, own_, from_node_;
  std::shared_ptr<BatchNorm> norm_;
};

}  // namespace gtrain::nn

// GCNII (Chen et al. 2020, "Simple and Deep Graph Convolutional Networks"), with A' the normalised
// adjacency of nn/adjacency.h and x0 the node vectors before the first layer:
//   out = ((1 - alpha) A' x + alpha x0) ((1 - beta) I + beta W)
// The networks of the Long Range Graph Benchmark have alpha 0.2 and beta 1.
#pragma once

#include "gtrain/nn/layer.h"

namespace gtrain::nn {

class Gcnii final : public Layer {
 public:
  explicit Gcnii(std::int64_t width, double alpha = 0.2, double beta = 1.0);
  // x, x0 [N, D] -> [N, D]
  at::Tensor forward(const at::Tensor& x, const at::Tensor& x0, const Edges& edges);
  // forward(x, x0, source, target)
  std::string script() const override;
  std::string fused_script() const override;
  // W ~ U(±sqrt(6 / 2D)).
  void initialise(base::Random& random) override;

  at::Tensor weight;  // [D, D], rows are outputs

 private:
  std::string forward_script() const;

  double alpha_, beta_;
};

}  // namespace gtrain::nn

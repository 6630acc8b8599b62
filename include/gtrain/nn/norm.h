// Normalisation of packed node or edge rows.
//   batch: BatchNorm1d over all rows of the batch, eps 1e-5, momentum 0.1 (Ioffe & Szegedy 2015)
//   layer: PyG's graph-mode LayerNorm: statistics over all nodes and channels of one graph
//   row:   LayerNorm over the channels of each row (Ba et al. 2016), eps 1e-5
//   none:  identity
#pragma once

#include <memory>
#include <string>

#include "gtrain/nn/layer.h"

namespace gtrain::nn {

// Norm(residual + Drop_p(x)), the sum that every post-norm block ends with.
class Norm : public Layer {
 public:
  // x, residual [N, D] (residual may be undefined); graph_start int64 [G+1].
  virtual at::Tensor forward(const at::Tensor& x, const at::Tensor& residual,
                             const at::Tensor& graph_start, double dropout, Context& context) = 0;
};

class BatchNorm final : public Norm {
 public:
  explicit BatchNorm(std::int64_t width);
  at::Tensor forward(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& graph_start,
                     double dropout, Context& context) override;
  // Plain normalisation of rows.
  at::Tensor forward(const at::Tensor& x, Context& context);
  std::string script() const override;
  std::string fused_script() const override;
  void initialise(base::Random& random) override;

  at::Tensor weight, bias, running_mean, running_var;
};

class GraphNorm final : public Norm {
 public:
  explicit GraphNorm(std::int64_t width);
  at::Tensor forward(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& graph_start,
                     double dropout, Context& context) override;
  std::string script() const override;
  std::string fused_script() const override;
  void initialise(base::Random& random) override;

  at::Tensor weight, bias;
};

class LayerNorm final : public Norm {
 public:
  explicit LayerNorm(std::int64_t width);
  at::Tensor forward(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& graph_start,
                     double dropout, Context& context) override;
  std::string script() const override;
  std::string fused_script() const override;
  void initialise(base::Random& random) override;

  at::Tensor weight, bias;
};

class NoNorm final : public Norm {
 public:
  at::Tensor forward(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& graph_start,
                     double dropout, Context& context) override;
  std::string script() const override;
  std::string fused_script() const override;
};

// "batch" | "layer" | "row" | "none". Scripted forward: (x: Tensor, batch: Tensor) -> Tensor, batch
// int64 [N]; the fused form has added(x: Tensor, residual: Tensor, batch: Tensor) beside it, the
// norm of residual + x.
std::shared_ptr<Norm> make_norm(const std::string& kind, std::int64_t width);

}  // namespace gtrain::nn

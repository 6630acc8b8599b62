// Permutation-equivariant layers (Zaheer et al. 2017, "Deep Sets") inside each graph: what a
// virtual node does when it reads all nodes and answers all of them (Cai et al. 2023).
//   h <- BN(relu(h_i alpha + reduce_j(h_j) beta + b))        `layers` times; j over the graph of i
// reduce: mean, sum, max or min, channel by channel. alpha, beta [D, D] are applied from the right
// ([in, out]), b [1, D]. alpha, beta xavier uniform, b U(±1/sqrt(D)).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gtrain/nn/global.h"
#include "gtrain/nn/norm.h"
#include "gtrain/ops/gather.h"

namespace gtrain::nn {

class DeepSets final : public Global {
 public:
  DeepSets(std::int64_t width, const DeepSetsOptions& options);
  at::Tensor forward(const GlobalInput& input, Context& context) override;
  std::string script() const override;
  std::string fused_script() const override;

  // One linear map, without its norm.
  class Equivariant final : public Layer {
   public:
    explicit Equivariant(std::int64_t width);
    // x [N, D], reduced [G, D], graph: the graph of each node -> [N, D]
    at::Tensor forward(const at::Tensor& x, const at::Tensor& reduced, const ops::RowIndex& graph);
    std::string script() const override;  // forward(x, reduced, batch)
    std::string fused_script() const override;
    void initialise(base::Random& random) override;

    at::Tensor alpha, beta, bias;
  };

 private:
  DeepSetsOptions options_;
  std::vector<std::shared_ptr<Equivariant>> layers_;  // "layer_<i>"
  std::vector<std::shared_ptr<BatchNorm>> norms_;     // "norm_<i>"
};

}  // namespace gtrain::nn

// y = x W^T + b over rows. Parameters weight [O, K], bias [O] (optional); both U(±1/sqrt(K)).
#pragma once

#include <memory>

#include "gtrain/nn/layer.h"

namespace gtrain::nn {

class Linear final : public Layer {
 public:
  Linear(std::int64_t inputs, std::int64_t outputs, bool bias = true);
  // x [N, K] -> [N, O]; `relu` fuses the activation.
  at::Tensor forward(const at::Tensor& x, bool relu = false);
  std::string script() const override;
  // Beside forward: activated(self, x: Tensor, activation: str) -> Tensor.
  std::string fused_script() const override;
  void initialise(base::Random& random) override;

  at::Tensor weight, bias;
};

}  // namespace gtrain::nn

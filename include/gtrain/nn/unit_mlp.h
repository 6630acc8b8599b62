// GraphGym's layers before message passing, on node rows x [N, K]:
//   x <- y / max(|y|_2, 1e-12) row by row,  y = ReLU(BatchNorm(x W^T))      `layers` times
// K -> D in the first, D -> D after it; W without bias.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gtrain/nn/linear.h"
#include "gtrain/nn/norm.h"

namespace gtrain::nn {

class UnitMlp final : public Layer {
 public:
  UnitMlp(std::int64_t inputs, std::int64_t width, std::int64_t layers);
  at::Tensor forward(const at::Tensor& x, Context& context);  // [N, D]
  std::string script() const override;

 private:
  std::vector<std::shared_ptr<Linear>> linear_;   // "linear_<i>"
  std::vector<std::shared_ptr<BatchNorm>> norm_;  // "norm_<i>"
};

// Rows scaled to L2 norm 1; rows shorter than 1e-12 are divided by that.
at::Tensor unit_rows(const at::Tensor& x);
std::string unit_rows_script(const std::string& argument);

}  // namespace gtrain::nn

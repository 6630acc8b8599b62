// A linear map of raw columns that lie far from mean 0 and deviation 1, as pixels do:
//   y = W (x - mean) / deviation + b
// The two are given, not learned, and not measured on the batch (that is nn/norm.h): buffers, so
// that a saved or exported model takes raw columns.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gtrain/nn/linear.h"

namespace gtrain::nn {

class StandardisedLinear final : public Layer {
 public:
  // One number per column; deviations above 0.
  StandardisedLinear(const std::vector<double>& column_means, const std::vector<double>& deviations,
                     std::int64_t outputs);
  at::Tensor forward(const at::Tensor& x);  // [N, K] -> [N, O]
  std::string script() const override;

  at::Tensor mean, deviation;  // [K]

 private:
  std::shared_ptr<Linear> linear_;  // "linear"
};

}  // namespace gtrain::nn

// PNA (Corso et al. 2020) with one tower and the identity scaler alone, as GPS uses it:
//   m_ji = W_pre [x_i | x_j | W_e e_ji + b_e] + b_pre
//   out_i = W_out (W_post [x_i | mean_j m_ji | max_j m_ji | sum_j m_ji] + b_post) + b_out
// e [E, edge_width]. A node without edges in has aggregates 0. Degrees enter nowhere: only the
// paper's amplifying and attenuating scalers read them. All weights and biases U(±1/sqrt(inputs)).
#pragma once

#include <memory>
#include <utility>

#include "gtrain/nn/linear.h"
#include "gtrain/nn/local.h"

namespace gtrain::nn {

class Pna final : public Local {
 public:
  Pna(std::int64_t width, std::int64_t edge_width);
  std::pair<at::Tensor, at::Tensor> forward(const LocalInput& input, Context& context) override;
  std::string script() const override;
  std::string fused_script() const override;

 private:
  std::shared_ptr<Linear> edge_, pre_, post_, out_;  // "edge", "pre", "post", "out"
};

}  // namespace gtrain::nn

// Performer's self-attention (Choromanski et al. 2021) by positive random features
// (ops/linear_attention.h), as performer-pytorch's SelfAttention builds it: H heads of
// `head_width` channels whatever the width is, q, k, v without bias, and dropout on the result of
// the output projection, not on weights. Its cost is linear in the nodes.
// The projection [features, head_width] is a buffer: drawn once (blocks of orthogonal rows with
// Gaussian norms), stored with the weights, never drawn again. Weights U(±1/sqrt(inputs)).
#pragma once

#include <memory>
#include <vector>

#include "gtrain/nn/global.h"
#include "gtrain/nn/linear.h"
#include "gtrain/nn/sparsity_gate.h"

namespace gtrain::nn {

class Performer final : public Global, public Gated {
 public:
  Performer(std::int64_t width, std::int64_t heads, double dropout,
            const PerformerOptions& options);
  at::Tensor forward(const GlobalInput& input, Context& context) override;
  std::string script() const override;
  std::string fused_script() const override;
  void initialise(base::Random& random) override;
  Parts parts() const override { return {out_->weight.size(0), heads_, true}; }
  std::vector<HeadSlices> head_slices() const override;

  at::Tensor projection;

 protected:
  void heads_kept(const std::vector<std::int64_t>& heads) override;

 private:
  std::string end_script() const;  // from mixed [N, H head_width] to the layer's result
  std::int64_t heads_;
  double dropout_;
  PerformerOptions options_;
  std::shared_ptr<Linear> q_, k_, v_, out_;  // "q", "k", "v", "out"
};

}  // namespace gtrain::nn

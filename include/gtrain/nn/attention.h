// Multi-head self-attention inside each graph of a packed batch (ops/varlen_attention.h) with its
// input and output projections: out = Drop_p(softmax(q k^T / sqrt(d) + bias)) v W_o^T + b_o.
// Parameters in_weight [3D, D] (rows q | k | v), in_bias [3D], out_weight [D, D], out_bias [D]. Of
// an attention that was cut to some of its heads, W channels in all: [3W, D], [3W], [D, W], [D].
// Initialisation of torch.nn.MultiheadAttention: in_weight xavier over the stacked matrix,
// out_weight U(±1/sqrt(D)), biases 0.
#pragma once

#include <vector>

#include "gtrain/nn/global.h"
#include "gtrain/nn/sparsity_gate.h"

namespace gtrain::nn {

class Attention : public Global, public Gated {
 public:
  // biased: forward takes an additive bias, and the script reads it.
  Attention(std::int64_t width, std::int64_t heads, double dropout, bool biased = false);
  at::Tensor forward(const GlobalInput& input, Context& context) override;
  std::string script() const override;
  std::string fused_script() const override;
  void initialise(base::Random& random) override;
  Parts parts() const override { return {out_weight.size(0), heads_, true}; }
  // Without any head no weights are left and the update is 0. Where the attention is biased the
  // buffer "kept_heads" remembers which heads of the bias are left.
  std::vector<HeadSlices> head_slices() const override;

  at::Tensor in_weight, in_bias, out_weight, out_bias;

 protected:
  void heads_kept(const std::vector<std::int64_t>& heads) override;
  // What may attend to what, for layers over a part of the pairs: qkv [N, 3D] -> [N, D].
  virtual at::Tensor mix(const at::Tensor& qkv, const GlobalInput& input, Context& context) const;
  // TorchScript of the additive or boolean mask [n, n] or [g, H, n, n] for `rows` [g, n], and
  // methods it calls; both empty: all pairs.
  struct MaskScript {
    std::string expression, methods;
  };
  virtual MaskScript mask_script() const;
  // TorchScript expression of mix() by an operator of libgtrain_ops, from qkv, batch and bias.
  virtual std::string mix_script() const;

  std::int64_t heads_;
  double dropout_;

 private:
  ops::AttentionBias bias_of(const GlobalInput& input) const;
  // Script up to `update`, where a gate says which rows take part; heads: what gates them.
  std::string kept_script(const std::string& heads) const;
  // weights(x, rows, bias, i) -> double [g, H, n, n] for a gate that reads them: what rows [g, n]
  // of group i attend to.
  std::string weights_script() const;
  bool biased_;
  at::Tensor kept_;  // "kept_heads" int64, once cut and biased
};

// TorchScript text of `def graph_groups(self, batch: Tensor) -> List[Tensor]`: rows [g, n] of the
// graphs of each size n, so that attention runs unpadded over one dense block per size.
std::string graph_groups_script();

}  // namespace gtrain::nn

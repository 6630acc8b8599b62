// One layer of Graphormer (Ying et al. 2021). With the norm before each block, as in the paper:
//   h = x + Drop(MHA(LN(x)))          x' = h + Drop(W_2 Drop_a(gelu(W_1 LN(h))))
// and after it, as in the authors' second version:
//   h = LN(x + Drop(MHA(x)))          x' = LN(h + Drop(W_2 Drop_a(gelu(W_1 h))))
// MHA is nn/attention.h with the additive bias that all layers share.
#pragma once

#include <memory>

#include "gtrain/nn/attention.h"
#include "gtrain/nn/linear.h"
#include "gtrain/nn/norm.h"

namespace gtrain::nn {

struct GraphormerLayerShape {
  std::int64_t width, hidden, heads;
  bool norm_first = true;
  double dropout = 0, attention_dropout = 0, activation_dropout = 0;
};

class GraphormerLayer final : public Layer {
 public:
  explicit GraphormerLayer(const GraphormerLayerShape& shape);
  at::Tensor forward(const GlobalInput& input, Context& context);
  // forward(self, x: Tensor, batch: Tensor, groups: List[Tensor], bias: List[Tensor]) -> Tensor
  std::string script() const override;
  double forward_flops(double nodes, double pairs) const;

 private:
  at::Tensor feed(const at::Tensor& x, Context& context);

  GraphormerLayerShape shape_;
  std::shared_ptr<Attention> attention_;                   // "attention"
  std::shared_ptr<LayerNorm> norm_attention_, norm_feed_;  // "norm_attention", "norm_feed"
  std::shared_ptr<Linear> in_, out_;                       // "feed_0", "feed_1"
};

}  // namespace gtrain::nn

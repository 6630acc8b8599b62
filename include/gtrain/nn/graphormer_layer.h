// One layer of a transformer over all nodes of a graph: Graphormer's (Ying et al. 2021) with gelu
// and an additive bias that all layers share, GraphTrans's (Wu et al. 2021) with relu and none.
// With the norm before each block, as in Graphormer's paper:
//   h = x + Drop(MHA(LN(x)))          x' = h + Drop(W_2 Drop_a(act(W_1 LN(h))))
// and after it, as in its authors' second version and in GraphTrans:
//   h = LN(x + Drop(MHA(x)))          x' = LN(h + Drop(W_2 Drop_a(act(W_1 h))))
// MHA is nn/attention.h.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "gtrain/nn/activation.h"
#include "gtrain/nn/attention.h"
#include "gtrain/nn/form.h"
#include "gtrain/nn/leaving.h"
#include "gtrain/nn/linear.h"
#include "gtrain/nn/norm.h"

namespace gtrain::nn {

struct GraphormerLayerShape {
  std::int64_t width, hidden, heads;
  bool norm_first = true;
  double dropout = 0, attention_dropout = 0, activation_dropout = 0;
  Activation activation = Activation::kGelu;
  bool biased = true;  // forward takes an additive bias
};

class GraphormerLayer final : public Layer, public FeedGated {
 public:
  explicit GraphormerLayer(const GraphormerLayerShape& shape);
  at::Tensor forward(const GlobalInput& input, Context& context);
  // Of the rows that come to the layer, those that go on (nn/leaving.h); script: a choice() of
  // statements in a network whose layer has the name, of h, rows, groups, sizes and `bias`.
  std::optional<KeptRows> choose(const GlobalInput& input, Leaving& leaving, Context& context);
  std::string choice(const std::string& name, const std::string& bias) const;
  // forward(self, x: Tensor, batch: Tensor, groups: List[Tensor], bias: List[Tensor]) -> Tensor
  std::string script() const override;
  std::string fused_script() const override;

 private:
  std::string text(Form form) const;
  at::Tensor feed(const at::Tensor& x, const at::Tensor& graph_start, Context& context);

  GraphormerLayerShape shape_;
  std::shared_ptr<Attention> attention_;                   // "attention"
  std::shared_ptr<LayerNorm> norm_attention_, norm_feed_;  // "norm_attention", "norm_feed"
  std::shared_ptr<Linear> in_, out_;                       // "feed_0", "feed_1"
};

}  // namespace gtrain::nn

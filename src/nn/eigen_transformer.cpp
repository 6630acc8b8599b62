#include "gtrain/nn/eigen_transformer.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/nonzero.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>

#include "gtrain/nn/activation.h"
#include "gtrain/nn/attention.h"
#include "gtrain/ops/gather.h"
#include "gtrain/ops/segment.h"

namespace gtrain::nn {

class EigenTransformer::Block final : public Layer {
 public:
  Block(std::int64_t width, const Options& o) : dropout_(o.dropout) {
    attention_ =
        register_module("attention", std::make_shared<Attention>(width, o.heads, o.dropout));
    norm_0_ = register_module("norm_0", std::make_shared<LayerNorm>(width));
    feed_0_ = register_module("feed_0", std::make_shared<Linear>(width, o.feed));
    feed_1_ = register_module("feed_1", std::make_shared<Linear>(o.feed, width));
    norm_1_ = register_module("norm_1", std::make_shared<LayerNorm>(width));
  }

  // x [M, D], rows of node i from start[i] on.
  at::Tensor forward(const at::Tensor& x, const at::Tensor& start, Context& context) {
    const at::Tensor a = attention_->forward({.x = x, .graph_start = start}, context);
    const at::Tensor y = norm_0_->forward(a, x, start, dropout_, context);
    const at::Tensor h = activate(feed_0_->forward(y), Activation::kRelu, dropout_, context);
    return norm_1_->forward(feed_1_->forward(h), y, start, dropout_, context);
  }

  std::string script() const override {
    return "def forward(self, x: Tensor, node: Tensor, groups: List[Tensor]) -> Tensor:\n"
           "    bias: List[Tensor] = []\n"
           "    a = self.attention.forward(x, node, groups, bias)\n"
           "    y = self.norm_0.forward(x + a, node)\n"
           "    h = self.feed_1.forward(torch.relu(self.feed_0.forward(y)))\n"
           "    return self.norm_1.forward(y + h, node)\n";
  }

 private:
  double dropout_;
  std::shared_ptr<Attention> attention_;
  std::shared_ptr<Linear> feed_0_, feed_1_;
  std::shared_ptr<LayerNorm> norm_0_, norm_1_;
};

EigenTransformer::EigenTransformer(const EigenpairShape& shape, const Options& options)
    : EigenpairEncoder(shape) {
  pair_ = register_module("pair", std::make_shared<Linear>(2, shape.width));
  for (std::int64_t i = 0; i < options.layers; ++i) {
    blocks_.push_back(
        register_module(fmt::format("block_{}", i), std::make_shared<Block>(shape.width, options)));
  }
}

at::Tensor EigenTransformer::sum_pairs(const at::Tensor& pairs, const at::Tensor& missing,
                                       Context& context) {
  const at::Tensor there = missing.logical_not();
  const at::Tensor rows = at::nonzero(there.flatten()).squeeze(1);
  const at::Tensor start =
      at::cat({at::zeros({1}, rows.options()), there.sum(1).cumsum(0)}).cpu();  // [N+1]
  at::Tensor h = pair_->forward(ops::gather(pairs, ops::row_index(rows, pairs.size(0))));
  for (const auto& block : blocks_) h = block->forward(h, start, context);
  return ops::segment_sum(h, start);
}

std::string EigenTransformer::sum_script() const {
  std::string text = graph_groups_script();
  text +=
      "def sum_pairs(self, pairs: Tensor, missing: Tensor) -> Tensor:\n"
      "    rows = torch.nonzero(torch.logical_not(missing).reshape(-1)).reshape(-1)\n"
      "    node = torch.floor_divide(rows, missing.size(1))\n"
      "    groups = self.graph_groups(node)\n"
      "    h = self.pair.forward(pairs.reshape(-1, 2).index_select(0, rows))\n";
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    text += fmt::format("    h = self.block_{}.forward(h, node, groups)\n", i);
  }
  return text +
         "    zero = torch.zeros([missing.size(0), h.size(1)], dtype=h.dtype, device=h.device)\n"
         "    return torch.index_add(zero, 0, node, h)\n";
}

}  // namespace gtrain::nn

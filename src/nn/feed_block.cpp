#include "gtrain/nn/feed_block.h"

#include <fmt/format.h>

#include "gtrain/nn/activation.h"

namespace gtrain::nn {

FeedBlock::FeedBlock(const Options& o) : residual_(o.residual), dropout_(o.dropout) {
  TORCH_CHECK(o.norm != "layer", "[FeedBlock] norm is layer; expected one that reads no graphs");
  out_ = register_module("out", std::make_shared<Linear>(o.width, o.width));
  norm_0_ = register_module("norm_0", make_norm(o.norm, o.width));
  feed_0_ = register_module("feed_0", std::make_shared<Linear>(o.width, 2 * o.width));
  feed_1_ = register_module("feed_1", std::make_shared<Linear>(2 * o.width, o.width));
  norm_1_ = register_module("norm_1", make_norm(o.norm, o.width));
}

at::Tensor FeedBlock::forward(const at::Tensor& a, const at::Tensor& attended, Context& context) {
  const auto skip = [&](const at::Tensor& t) { return residual_ ? t : at::Tensor(); };
  const at::Tensor mixed = attended.defined()
                               ? out_->forward(drop(attended, dropout_, context))
                               : out_->bias.expand({a.size(0), out_->bias.size(0)}).contiguous();
  const at::Tensor b = norm_0_->forward(mixed, skip(a), {}, 0.0, context);
  const bool dropping = context.training && dropout_ > 0;
  at::Tensor h = feed_0_->forward(b, !dropping);
  if (dropping) h = activate(h, Activation::kRelu, dropout_, context);
  return norm_1_->forward(feed_1_->forward(h), skip(b), {}, 0.0, context);
}

std::string FeedBlock::text(Form form) const {
  return fmt::format(
      "def forward(self, a: Tensor, attended: Tensor) -> Tensor:\n"
      "    rows = torch.zeros([0], dtype=4, device=a.device)\n"
      "    m = self.out.forward(attended)\n"
      "    b = {}\n"
      "    h = {}\n"
      "    return {}\n",
      norm_script(form, "norm_0", "m", residual_ ? "a" : "", "rows"),
      feed_script(form, "feed_0", "feed_1", Activation::kRelu, "b"),
      norm_script(form, "norm_1", "h", residual_ ? "b" : "", "rows"));
}

std::string FeedBlock::script() const { return text(Form::kPortable); }

std::string FeedBlock::fused_script() const { return text(Form::kFused); }

}  // namespace gtrain::nn

#include "gtrain/nn/message_block.h"

#include <fmt/format.h>

#include "gtrain/nn/unit_mlp.h"
#include "gtrain/ops/flop_count.h"

namespace gtrain::nn {

MessageBlock::MessageBlock(const std::string& name, const Options& options) : options_(options) {
  if (name == "gcnii") {
    gcnii_ = register_module("local", std::make_shared<Gcnii>(options.local.width));
  } else {
    local_ = make_local(name, options.local);
    register_module("local", local_);
    if (local_->residual()) return;
  }
  norm_ = register_module("norm", make_norm(options.norm, options.local.width));
}

std::pair<at::Tensor, at::Tensor> MessageBlock::forward(const BlockInput& input, Context& context) {
  const ops::FlopScope running(*this);
  const at::Tensor& x = input.local.x;
  at::Tensor h, e = input.local.e;
  if (gcnii_) {
    h = gcnii_->forward(x, input.first, input.local.edges);
  } else {
    std::tie(h, e) = local_->forward(input.local, context);
  }
  if (input.message.defined()) h = h + input.message;
  if (norm_) {
    h = norm_->forward(h, {}, input.graph_start, 0.0, context);
    const at::Tensor residual = options_.residual ? x : at::Tensor();
    h = options_.activated
            ? activate(h, options_.local.activation, options_.dropout, context, residual)
            : drop(h, options_.dropout, context, residual);
  }
  if (options_.unit_rows) h = unit_rows(h);
  return {h, e};
}

std::string MessageBlock::text(const std::string& end) const {
  std::string text =
      "def forward(self, x: Tensor, first: Tensor, e: Tensor, source: Tensor, target: Tensor, "
      "batch: Tensor, positions: Tensor, message: Tensor) -> Tuple[Tensor, Tensor]:\n";
  text += gcnii_ ? "    h = self.local.forward(x, first, source, target)\n"
                 : "    h, e = self.local.forward(x, e, source, target, positions)\n";
  text +=
      "    if message.numel() > 0:\n"
      "        h = h + message\n";
  if (norm_) text += "    h = self.norm.forward(h, batch)\n" + end;
  if (options_.unit_rows) text += "    h = " + unit_rows_script("h") + "\n";
  return text + "    return h, e\n";
}

std::string MessageBlock::script() const {
  const std::string h = options_.activated ? script_of(options_.local.activation, "h") : "h";
  return text(fmt::format("    h = {}{}\n", options_.residual ? "x + " : "", h));
}

std::string MessageBlock::fused_script() const {
  if (!options_.activated && !options_.residual) return text("");
  return text(fmt::format("    h = gtrain.activate(h, \"{}\"{})\n",
                          options_.activated ? name_of(options_.local.activation) : "none",
                          options_.residual ? ", x" : ""));
}

}  // namespace gtrain::nn

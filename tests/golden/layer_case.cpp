#include "golden/layer_case.h"

namespace gtrain::golden {

void check_layer(const Case& c, Checker& checker, const LayerCase& layer, at::ScalarType type) {
  const at::Tensor& order = layer.read.permutation;
  const at::Tensor x = c.input("input.x", type).requires_grad_();
  at::Tensor e;
  if (c.has("input.edge_attr")) e = c.input("input.edge_attr", type).requires_grad_();
  const bool edges = c.expects("output.edge_attr", type);

  at::Tensor out_x, out_e;
  const auto loss = [&] {
    nn::Context context;
    context.training = c.info().at("mode") == "train";
    if (!layer.masks.empty()) context.masks = &layer.masks;
    std::tie(out_x, out_e) = layer.forward(x, e.defined() ? e.index_select(0, order) : e, context);
    at::Tensor total = (out_x * c.input("input.cotangent_x", type)).sum();
    if (c.has("input.cotangent_e")) {
      total = total + (out_e * c.input("input.cotangent_e", type).index_select(0, order)).sum();
    }
    return total;
  };
  const at::Tensor value = loss();
  value.backward();
  checker.close("output.x", out_x, c.expected("output.x", type), tolerance(c, "output", type));
  if (edges) {
    checker.close("output.edge_attr", out_e,
                  c.expected("output.edge_attr", type).index_select(0, order),
                  tolerance(c, "output", type));
  }
  checker.close("loss", value, c.expected("loss", type), tolerance(c, "loss", type));
  for (const auto& [key, leaf] : {std::pair{"grad_input.x", x}, {"grad_input.edge_attr", e}}) {
    if (!c.expects(key, type)) continue;
    const at::Tensor got = leaf.grad().defined() ? leaf.grad() : at::zeros_like(leaf);
    checker.close(key, got, c.expected(key, type), tolerance(c, "grad_input", type));
  }
  compare_module(c, checker, layer.module, layer.names, type);
  compare_optimizer(c, checker, layer.module, loss, type);
}

}  // namespace gtrain::golden

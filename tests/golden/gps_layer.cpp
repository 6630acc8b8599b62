// One GPS layer: outputs, loss, every gradient, buffers and the optimizer trace.
#include <fmt/format.h>

#include "golden/module_case.h"
#include "gtrain/models/gps.h"

namespace gtrain::golden {
namespace {

models::GpsOptions options_of(const Case& c) {
  const auto& config = c.info().at("config");
  models::GpsOptions o;
  o.width = config.at("dim_h").get<std::int64_t>();
  o.heads = config.at("num_heads").get<std::int64_t>();
  const std::string local = config.at("local_gnn_type").get<std::string>();
  const std::map<std::string, std::string> locals{
      {"GINE", "gine"}, {"CustomGatedGCN", "gated_gcn"}, {"GCN", "gcn"}, {"None", "none"}};
  if (!locals.contains(local)) throw Skip{"local branch " + local};
  o.local = locals.at(local);
  const std::string global = config.at("global_model_type").get<std::string>();
  if (global != "Transformer" && global != "None") throw Skip{"global branch " + global};
  o.global = global == "None" ? "none" : "attention";
  if (config.value("equivstable_pe", false)) throw Skip{"equivariant-stable Laplacian gates"};
  const bool layer_norm = config.value("layer_norm", false);
  o.norm = layer_norm ? "layer" : config.value("batch_norm", true) ? "batch" : "none";
  o.activation = config.value("act", "relu");
  o.dropout = config.value("dropout", 0.0);
  o.attention_dropout = config.value("attn_dropout", 0.0);
  return o;
}

void check(const Case& c, Checker& checker, at::ScalarType type) {
  models::GpsLayer layer(options_of(c));
  load(c, layer, gps_name, type);
  const Batch read = read_batch(c, "input.", type);
  const data::GraphBatch& b = read.batch;
  const nn::Edges edges{b.source, b.target, b.in_start, b.out_start, b.out_edge};
  const std::vector<at::Tensor> masks = read_masks(c, read.permutation);
  const at::Tensor x = c.input("input.x", type).requires_grad_();
  const at::Tensor e = c.input("input.edge_attr", type).requires_grad_();

  at::Tensor out_x, out_e;
  const auto loss = [&] {
    nn::Context context;
    context.training = c.info().at("mode") == "train";
    if (!masks.empty()) context.masks = &masks;
    std::tie(out_x, out_e) =
        layer.forward(x, e.index_select(0, read.permutation), edges, b.graph_start, context);
    at::Tensor total = (out_x * c.input("input.cotangent_x", type)).sum();
    const std::string formula = c.info().at("loss").get<std::string>();
    if (formula.find("cotangent_e") != std::string::npos) {
      total = total +
              (out_e * c.input("input.cotangent_e", type).index_select(0, read.permutation)).sum();
    }
    return total;
  };
  const at::Tensor value = loss();
  value.backward();
  checker.close("output.x", out_x, c.expected("output.x", type), tolerance(c, "output", type));
  if (c.expects("output.edge_attr", type)) {
    checker.close("output.edge_attr", out_e,
                  c.expected("output.edge_attr", type).index_select(0, read.permutation),
                  tolerance(c, "output", type));
  }
  checker.close("loss", value, c.expected("loss", type), tolerance(c, "loss", type));
  for (const auto& [key, leaf] : {std::pair{"grad_input.x", x}, {"grad_input.edge_attr", e}}) {
    if (!c.expects(key, type)) continue;
    const at::Tensor got = leaf.grad().defined() ? leaf.grad() : at::zeros_like(leaf);
    checker.close(key, got, c.expected(key, type), tolerance(c, "grad_input", type));
  }
  compare_module(c, checker, layer, gps_name, type);
  compare_optimizer(c, checker, layer, loss, type);
}

}  // namespace

void check_gps_layer(const Case& c, Checker& checker) {
  check(c, checker, at::kDouble);
  check(c, checker, at::kFloat);
}

}  // namespace gtrain::golden

// One GPS layer: outputs, loss, every gradient, buffers and the optimizer trace.
#include <fmt/format.h>

#include "golden/module_case.h"
#include "gtrain/models/gps.h"

namespace gtrain::golden {
namespace {

const std::map<std::string, std::string> kLocals{
    {"GINE", "gine"}, {"CustomGatedGCN", "gated_gcn"}, {"GCN", "gcn"}, {"GIN", "gin"},
    {"GAT", "gat"},   {"GENConv", "genconv"},          {"PNA", "pna"}, {"None", "none"}};
const std::map<std::string, std::string> kGlobals{{"Transformer", "attention"},
                                                  {"BiasedTransformer", "biased"},
                                                  {"Performer", "performer"},
                                                  {"None", "none"}};

std::string named(const std::map<std::string, std::string>& table, const std::string& name) {
  if (!table.contains(name)) throw Skip{"branch " + name};
  return table.at(name);
}

// The layer of the MPNN + virtual node fork: deep sets in the place of attention.
models::GpsOptions virtual_node_options(const nlohmann::json& config) {
  models::GpsOptions o;
  o.width = config.at("dim").get<std::int64_t>();
  o.local = named(kLocals, config.at("local").get<std::string>());
  o.global = "deep_sets";
  o.deep_sets.emplace();
  o.deep_sets->layers = config.at("n_layers").get<std::int64_t>();
  o.deep_sets->reduce = config.at("reduction").get<std::string>();
  if (!config.at("batchnorm").get<bool>()) throw Skip{"deep sets without batch norm"};
  o.dropout = config.value("dropout", 0.0);
  o.quirks = {"dsvn_padded_norm"};
  return o;
}

models::GpsOptions options_of(const Case& c) {
  const auto& config = c.info().at("config");
  if (config.contains("reduction")) return virtual_node_options(config);
  models::GpsOptions o;
  o.width = config.at("dim_h").get<std::int64_t>();
  o.heads = config.at("num_heads").get<std::int64_t>();
  o.local = named(kLocals, config.at("local_gnn_type").get<std::string>());
  o.global = named(kGlobals, config.at("global_model_type").get<std::string>());
  if (o.global == "performer") o.quirks = {"performer_padded_length"};
  if (config.value("equivstable_pe", false)) o.encoders = {models::StableEncoderOptions{}};
  const bool layer_norm = config.value("layer_norm", false);
  o.norm = layer_norm ? "layer" : config.value("batch_norm", true) ? "batch" : "none";
  o.activation = config.value("act", "relu");
  o.dropout = config.value("dropout", 0.0);
  o.attention_dropout = config.value("attn_dropout", 0.0);
  return o;
}

// The padded bias [B H, L, L] of the case as packed pairs.
ops::AttentionBias read_bias(const Case& c, const at::Tensor& graph_start, at::ScalarType type) {
  ops::AttentionBias bias;
  if (!c.has("input.attn_bias")) return bias;
  const at::Tensor padded = c.input("input.attn_bias", type);
  const std::int64_t graphs = graph_start.numel() - 1, length = padded.size(1);
  const at::Tensor dense = padded.view({graphs, -1, length, length});
  std::vector<at::Tensor> parts;
  for (std::int64_t g = 0; g < graphs; ++g) {
    const std::int64_t n = (graph_start[g + 1] - graph_start[g]).item<std::int64_t>();
    const at::Tensor own = dense[g].slice(1, 0, n).slice(2, 0, n);  // [H, n, n]
    parts.push_back(own.permute({1, 2, 0}).reshape({n * n, -1}));
  }
  bias.pair = at::cat(parts);
  return bias;
}

void check(const Case& c, Checker& checker, at::ScalarType type) {
  models::GpsLayer layer(options_of(c));
  load(c, layer, gps_name, type);
  const Batch read = read_batch(c, "input.", type);
  const data::GraphBatch& b = read.batch;
  const nn::Edges edges{b.source, b.target, b.in_start, b.out_start, b.out_edge};
  const std::vector<at::Tensor> masks = read_masks(c, read.permutation);
  const std::string place = "input.pe_EquivStableLapPE";
  const at::Tensor positions = c.has(place) ? c.input(place, type) : at::Tensor();
  const ops::AttentionBias bias = read_bias(c, b.graph_start, type);
  const at::Tensor x = c.input("input.x", type).requires_grad_();
  const at::Tensor e = c.input("input.edge_attr", type).requires_grad_();

  at::Tensor out_x, out_e;
  const auto loss = [&] {
    nn::Context context;
    context.training = c.info().at("mode") == "train";
    if (!masks.empty()) context.masks = &masks;
    models::GpsInput input{.x = x,
                           .e = e.index_select(0, read.permutation),
                           .edges = edges,
                           .graph_start = b.graph_start,
                           .positions = positions,
                           .bias = bias};
    std::tie(out_x, out_e) = layer.forward(input, context);
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

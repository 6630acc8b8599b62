// Whole nets of GT: molecules (regression, edge types) and block graphs (node classes, no edges).
#include "golden/gt.h"
#include "golden/trajectory.h"
#include "gtrain/train/loss.h"

namespace gtrain::golden {
namespace {

// Every ordered pair of different nodes of every graph is an edge.
bool complete(const Case& c, const std::string& prefix) {
  const at::Tensor ptr = c.input(prefix + "ptr", at::kFloat);
  const at::Tensor n = ptr.slice(0, 1) - ptr.slice(0, 0, -1);
  return c.input(prefix + "edge_index", at::kFloat).size(1) ==
         (n * (n - 1)).sum().item<std::int64_t>();
}

double dropout_of(const Case& c, bool input) {
  double p = 0;
  for (const auto& site : c.info().value("dropout_sites", nlohmann::json::array())) {
    if (site.at("site").get<std::string>().starts_with("in_feat") == input) {
      p = std::max(p, site.at("p").get<double>());
    }
  }
  return p;
}

void check(const Case& c, Checker& checker, at::ScalarType type) {
  const auto model = build_gt_case(c);
  load(c, *model, gt_name, type);
  const Batch read = read_gt_batch(c, "input.", type);
  const std::vector<at::Tensor> masks = read_gt_masks(c, read.permutation);
  at::Tensor output;
  const auto loss = [&] {
    nn::Context context;
    context.training = c.info().at("mode") == "train";
    if (!masks.empty()) context.masks = &masks;
    // Flips of signs are the training loop's and not part of these cases.
    if (c.has("input.lap_pos_enc")) {
      context.signs = at::ones({c.input("input.lap_pos_enc", type).size(1)}, type);
    }
    output = model->forward(read.batch, context);
    return gt_loss(c, output, c.input("input.y", type));
  };
  const at::Tensor value = loss();
  value.backward();
  checker.close("output", output, c.expected("output", type), tolerance(c, "output", type));
  checker.close("loss", value, c.expected("loss", type), tolerance(c, "loss", type));
  compare_module(c, checker, *model, gt_name, type);
  compare_optimizer(c, checker, *model, loss, type);
}

}  // namespace

std::shared_ptr<models::Model> build_gt_case(const Case& c) {
  const auto& config = c.info().at("config");
  const std::string first = c.has("input.b0.x") ? "input.b0." : "input.";
  models::GtOptions o;
  models::Signature s;
  o.width = config.at("hidden_dim").get<std::int64_t>();
  o.layers = config.at("L").get<std::int64_t>();
  o.heads = config.at("n_heads").get<std::int64_t>();
  o.norm = config.at("layer_norm").get<bool>()   ? "layer"
           : config.at("batch_norm").get<bool>() ? "batch"
                                                 : "none";
  o.residual = config.at("residual").get<bool>();
  o.pattern = complete(c, first) ? "full" : "neighbours";
  o.input_dropout = dropout_of(c, true);
  o.dropout = dropout_of(c, false);
  o.node = models::TypeOptions{};
  s.node_categories = {c.input("param.embedding_h.weight", at::kFloat).size(0)};
  s.node_width = 1;
  s.outputs = c.input("param.MLP_layer.FC_layers.2.bias", at::kFloat).size(0);
  const bool nodes = config.contains("n_classes");
  s.level = nodes ? data::Level::kNode : data::Level::kGraph;
  o.head = models::HalvingHeadOptions{2, nodes ? "none" : config.at("readout").get<std::string>()};
  if (c.has("param.embedding_e.weight")) {
    if (!config.at("edge_feat").get<bool>()) throw Skip{"a linear map of constant edges"};
    o.edge = models::TypeOptions{};
    s.edge_categories = {c.input("param.embedding_e.weight", at::kFloat).size(0)};
    s.edge_width = 1;
  } else {
    o.edge = models::NoneOptions{};
  }
  if (config.at("wl_pos_enc").get<bool>()) throw Skip{"Weisfeiler-Lehman roles"};
  if (config.at("lap_pos_enc").get<bool>()) {
    models::EigenvectorEncoderOptions e;
    e.dim = o.width;
    o.encoders = {e};
    s.encodings["laplacian"] = config.at("pos_enc_dim").get<std::int64_t>();
  }
  return models::build_model(o, s);
}

Batch read_gt_batch(const Case& c, const std::string& prefix, at::ScalarType type) {
  Batch out = read_batch(c, prefix, type);
  if (c.has(prefix + "lap_pos_enc")) {
    out.batch.encoding["laplacian.vectors"] = c.input(prefix + "lap_pos_enc", type);
  }
  return out;
}

at::Tensor gt_loss(const Case& c, const at::Tensor& output, const at::Tensor& label) {
  if (c.info().at("config").contains("n_classes")) {
    return train::find_loss("weighted_cross_entropy", data::Task::kNodeClass)
        .value(output, label.reshape(-1));
  }
  return train::find_loss("l1", data::Task::kGraphRegression)
      .value(output, label.reshape(output.sizes()));
}

void check_gt_net(const Case& c, Checker& checker) {
  check(c, checker, at::kDouble);
  check(c, checker, at::kFloat);
}

void check_gt_trajectory(const Case& c, Checker& checker) {
  for (const at::ScalarType type : {at::kDouble, at::kFloat}) {
    const auto model = build_gt_case(c);
    check_trajectory(
        c, checker,
        {*model, gt_name, [&](const std::string& prefix) { return read_gt_batch(c, prefix, type); },
         [&](const at::Tensor& output, const at::Tensor& label) {
           return gt_loss(c, output, label);
         }},
        type);
  }
}

}  // namespace gtrain::golden

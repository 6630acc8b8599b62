// Graphormer v1, the encoder of v2 and GraphGPS's port: outputs, loss, gradients, recorded dropout,
// the optimizer trace and a trajectory.
#include "golden/graphormer.h"

#include <fmt/format.h>

#include <cmath>

#include "golden/trajectory.h"
#include "gtrain/models/graphormer.h"
#include "gtrain/train/loss.h"

namespace gtrain::golden {
namespace {

using nlohmann::json;

constexpr std::int64_t kLargestDistance = 252;

std::int64_t rows_of(const Case& c, const std::string& key) {
  return c.input("param." + key, at::kFloat).size(0);
}

// Categories that fill a merged table of `columns` columns.
std::vector<std::int64_t> categories(std::int64_t columns, std::int64_t rows, std::int64_t first) {
  std::vector<std::int64_t> out(static_cast<std::size_t>(columns), 512);
  out.back() = rows - first - 512 * (columns - 1);
  return out;
}

// Options of both versions by Microsoft, from the shapes of their tables.
void set_original(const Case& c, const std::string& first, models::GraphormerOptions& o,
                  models::Signature& s) {
  const json& config = c.info().at("config");
  const bool multi = config.value("et", "multi_hop") == "multi_hop";
  nn::GraphBiasOptions& b = o.bias;
  b.degrees = rows_of(c, "encoding.centrality.in_degree");
  b.max_distance = kLargestDistance;
  b.path = multi ? "multi_hop" : "single_hop";
  b.hops = config.contains("hop") ? config.at("hop").get<std::int64_t>()
                                  : config.at("multi_hop_max_dist").get<std::int64_t>();
  const std::int64_t cut = config.value("spatial_pos_max", std::int64_t{1024});
  b.cut = cut <= kLargestDistance ? cut : 0;
  b.tables.distances = rows_of(c, "encoding.bias.distance");
  b.tables.edges = rows_of(c, "encoding.bias.edge");
  b.tables.edge_stride = 512;
  if (multi) b.tables.matrices = rows_of(c, "encoding.bias.hop");
  b.quirks = {"padding_rows", "out_degree_twice"};
  const std::int64_t nodes = rows_of(c, "features.node.table");
  o.node = models::MergedOptions{nodes, 512};
  s.node_width = c.input(first + "x", at::kFloat).size(1);
  s.edge_width = c.input(first + "edge_attr", at::kFloat).size(1);
  s.node_categories = categories(s.node_width, nodes, 2);
  s.edge_categories = categories(s.edge_width, b.tables.edges, multi ? 3 : 2);
}

struct Built {
  std::shared_ptr<models::Model> model;
  encode::ShortestPathOptions paths;
  bool encoder = false;  // no head in the reference: its output is the token's row
};

Built build(const Case& c) {
  const json& config = c.info().at("config");
  const std::string first = c.has("input.b0.x") ? "input.b0." : "input.";
  models::GraphormerOptions o;
  models::Signature s;
  s.encodings = pair_widths();
  Built built;
  o.dropout = config.value("dropout_rate", 0.0);
  o.input_dropout = config.value("intput_dropout_rate", 0.0);
  o.attention_dropout = config.value("attention_dropout_rate", 0.0);
  o.heads = c.input("param.encoding.bias.distance", at::kFloat).size(1);
  o.width = c.input("param.encoding.token.vector", at::kFloat).size(1);
  o.hidden = rows_of(c, "layer_0.feed_0.weight");
  o.layers = 0;
  while (c.has(fmt::format("param.layer_{}.feed_0.weight", o.layers))) ++o.layers;
  if (config.contains("yaml")) {
    built.paths = port_paths();
    o.bias = port_bias(c);
    o.final_norm = false;
    o.head = models::GraphormerHeadOptions{};
    o.node = models::TypeOptions{rows_of(c, "features.node.column_0")};
    s.node_categories = {rows_of(c, "features.node.column_0")};
    s.edge_categories = {rows_of(c, "encoding.bias.edge")};
    s.node_width = s.edge_width = 1;
  } else {
    set_original(c, first, o, s);
    built.paths.ties = "relaxation";
    built.encoder = !config.contains("ffn");
    if (!built.encoder) {
      o.bias.quirks.push_back("v1_padding");
      built.paths.quirks = {"v1_node0_path"};
    }
  }
  if (built.encoder) {
    o.norm = config.at("pre_layernorm").get<bool>() ? "before" : "after";
    o.input_norm = config.at("encoder_normalize_before").get<bool>();
    o.final_norm = false;
    s.outputs = o.width;
  }
  built.model = models::build_model(o, s);
  return built;
}

// The model without its head, which then hands on what it reads.
std::shared_ptr<torch::nn::Module> body_of(const Built& built, at::ScalarType type) {
  if (!built.encoder) return built.model;
  built.model->to(type);
  const at::NoGradGuard guard;
  auto body = std::make_shared<torch::nn::Module>();
  for (const auto& child : built.model->named_children()) {
    if (child.key() != "head") {
      body->register_module(child.key(), child.value());
      continue;
    }
    for (const auto& p : child.value()->named_parameters()) {
      p.value().copy_(p.value().dim() == 2 ? at::eye(p.value().size(0), p.value().options())
                                           : at::zeros_like(p.value()));
    }
  }
  return body;
}

std::string own_name(const std::string& name) { return name; }

Batch read_graphs(const Case& c, const std::string& prefix, const Built& built,
                  at::ScalarType type) {
  Batch out = read_batch(c, prefix, type);
  read_pairs(c, prefix, built.paths, out.batch);
  return out;
}

// Masks over padded rows [B, L, D] as masks over packed ones; those of attention stay.
std::vector<at::Tensor> packed_masks(const Case& c, const at::Tensor& permutation) {
  std::vector<at::Tensor> masks = read_masks(c, permutation);
  const at::Tensor ptr = c.input("input.ptr", at::kFloat);
  for (at::Tensor& mask : masks) {
    if (mask.dim() != 3) continue;
    std::vector<at::Tensor> parts;
    for (std::int64_t g = 0; g < mask.size(0); ++g) {
      const auto rows = 1 + (ptr[g + 1] - ptr[g]).item<std::int64_t>();
      parts.push_back(mask[g].slice(0, 0, rows));
    }
    mask = at::cat(parts);
  }
  return masks;
}

at::Tensor loss_of(const Case& c, const at::Tensor& output, const at::Tensor& label) {
  const bool binary = c.info().at("loss").get<std::string>().starts_with("BCE");
  const at::Tensor shaped = label.to(output.scalar_type()).reshape(output.sizes());
  return binary ? train::find_loss("bce", data::Task::kGraphBinary).value(output, shaped)
                : train::find_loss("l1", data::Task::kGraphRegression).value(output, shaped);
}

void check(const Case& c, Checker& checker, at::ScalarType type) {
  const Built built = build(c);
  const auto body = body_of(built, type);
  load(c, *body, own_name, type);
  const Batch read = read_graphs(c, "input.", built, type);
  const std::vector<at::Tensor> masks = packed_masks(c, read.permutation);
  at::Tensor output;
  const auto loss = [&] {
    nn::Context context;
    context.training = c.info().at("mode") == "train";
    if (!masks.empty()) context.masks = &masks;
    output = built.model->forward(read.batch, context);
    if (built.encoder) return (output * c.input("input.cotangent", type)).sum();
    return loss_of(c, output, c.input("input.y", type));
  };
  const at::Tensor value = loss();
  value.backward();
  const at::Tensor want = c.expected("output", type);
  checker.close("output", output.reshape(want.sizes()), want, tolerance(c, "output", type));
  checker.close("loss", value, c.expected("loss", type), tolerance(c, "loss", type));
  compare_module(c, checker, *body, own_name, type);
  compare_optimizer(c, checker, *body, loss, type);
}

}  // namespace

void check_graphormer(const Case& given, Checker& checker) {
  const Case c = with_graphormer_names(given);
  check(c, checker, at::kDouble);
  check(c, checker, at::kFloat);
}

void check_graphormer_trajectory(const Case& given, Checker& checker) {
  const Case c = with_graphormer_names(given);
  for (const at::ScalarType type : {at::kDouble, at::kFloat}) {
    const Built built = build(c);
    check_trajectory(
        c, checker,
        {*built.model, own_name,
         [&](const std::string& prefix) { return read_graphs(c, prefix, built, type); },
         [&](const at::Tensor& output, const at::Tensor& label) {
           return loss_of(c, output, label);
         }},
        type);
  }
}

}  // namespace gtrain::golden

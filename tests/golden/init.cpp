// Initialisation: moments and bounds of every tensor of every model over 50 seeds, against the
// distribution that the reference's own initialiser was seen to draw from.
#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "golden/graphormer.h"
#include "golden/gt.h"
#include "golden/mpnn.h"
#include "gtrain/models/gps.h"
#include "gtrain/models/graphormer.h"
#include "gtrain/models/gt.h"
#include "gtrain/models/zoo.h"

namespace gtrain::golden {
namespace {

using nlohmann::json;

constexpr std::int64_t kSeeds = 50;

// The list of entries as a map from the reference's name.
json by_name(const json& entry) {
  json out = json::object();
  for (const json& p : entry.at("parameters")) out[p.at("name").get<std::string>()] = p;
  return out;
}

std::vector<std::int64_t> shape_of(const json& parameters, const std::string& name) {
  return parameters.at(name).at("shape").get<std::vector<std::int64_t>>();
}

std::vector<std::int64_t> table_rows(const json& parameters, const std::string& prefix) {
  std::vector<std::int64_t> rows;
  while (parameters.contains(fmt::format("{}{}.weight", prefix, rows.size()))) {
    rows.push_back(shape_of(parameters, fmt::format("{}{}.weight", prefix, rows.size()))[0]);
  }
  return rows;
}

// A module and gtrain's names of the reference's parameters.
struct Built {
  std::shared_ptr<torch::nn::Module> module;
  NameMap names;
};

// GPS by the parameters that are listed.
Built build_gps(const json& entry) {
  const json p = by_name(entry);
  const json& config = entry.at("config");
  const std::string node = "encoder.node_encoder.";
  models::GpsOptions o;
  models::Signature s;
  o.width = config.at("dim").get<std::int64_t>();
  o.layers = config.at("layers").get<std::int64_t>();
  o.heads = config.at("heads").get<std::int64_t>();
  o.local = p.contains("layers.0.local_model.A.weight") ? "gated_gcn" : "gine";
  if (p.contains(node + "encoder1.encoder.weight")) {
    s.node_categories = {shape_of(p, node + "encoder1.encoder.weight")[0]};
    s.edge_categories = {shape_of(p, "encoder.edge_encoder.encoder.weight")[0]};
    o.node = models::TypeOptions{};
    o.edge = models::TypeOptions{};
  } else {
    s.node_categories = table_rows(p, node + "encoder1.atom_embedding_list.");
    s.edge_categories = table_rows(p, "encoder.edge_encoder.bond_embedding_list.");
    o.node = models::CategoricalOptions{};
    o.edge = models::CategoricalOptions{};
  }
  s.node_width = static_cast<std::int64_t>(s.node_categories.size());
  s.edge_width = static_cast<std::int64_t>(s.edge_categories.size());
  if (p.contains(node + "encoder2.pe_encoder.weight")) {
    const auto shape = shape_of(p, node + "encoder2.pe_encoder.weight");
    models::LinearEncoderOptions e;
    e.dim = shape[0];
    o.encoders = {e};
    s.encodings["random_walk"] = shape[1];
  } else {
    models::DeepSetEncoderOptions e;
    e.dim = shape_of(p, node + "encoder2.pe_encoder.1.weight")[0];
    o.encoders = {e};
    s.encodings["laplacian"] = 1;
  }
  if (p.contains("post_mp.FC_layers.0.weight")) {
    o.head = models::HalvingHeadOptions{2, "mean"};
    s.outputs = shape_of(p, "post_mp.FC_layers.2.weight")[0];
  } else {
    o.head = models::MlpHeadOptions{1, "mean"};
    s.outputs = shape_of(p, "post_mp.layer_post_mp.model.0.model.weight")[0];
  }
  return {models::build(models::ModelOptions(o), s), gps_name};
}

Built build_gt(const json& entry) {
  const json p = by_name(entry);
  const json& config = entry.at("config");
  models::GtOptions o;
  models::Signature s;
  o.layers = config.at("L").get<std::int64_t>();
  o.width = config.at("hidden_dim").get<std::int64_t>();
  o.heads = config.at("n_heads").get<std::int64_t>();
  o.node = models::TypeOptions{};
  o.edge = models::TypeOptions{};
  s.node_categories = {shape_of(p, "embedding_h.weight")[0]};
  s.edge_categories = {shape_of(p, "embedding_e.weight")[0]};
  s.node_width = s.edge_width = 1;
  models::EigenvectorEncoderOptions e;
  e.dim = o.width;
  o.encoders = {e};
  s.encodings["laplacian"] = shape_of(p, "embedding_lap_pos_enc.weight")[1];
  o.head = models::HalvingHeadOptions{2, "mean"};
  return {models::build(models::ModelOptions(o), s), gt_name};
}

Built build_graphormer(const json& entry) {
  const json p = by_name(entry);
  const json& config = entry.at("config");
  constexpr std::int64_t kStride = 512;  // from one column's rows of a table to the next one's
  models::GraphormerOptions o;
  models::Signature s;
  o.layers = config.at("n_layers").get<std::int64_t>();
  o.heads = config.at("num_heads").get<std::int64_t>();
  o.width = config.at("hidden_dim").get<std::int64_t>();
  o.hidden = config.at("ffn_dim").get<std::int64_t>();
  o.bias.degrees = shape_of(p, "in_degree_encoder.weight")[0];
  o.bias.hops = config.at("multi_hop_max_dist").get<std::int64_t>();
  o.bias.tables.distances = shape_of(p, "spatial_pos_encoder.weight")[0];
  o.bias.max_distance = o.bias.tables.distances - 2;
  o.bias.tables.edges = shape_of(p, "edge_encoder.weight")[0];
  o.bias.tables.edge_stride = kStride;
  o.bias.tables.matrices = shape_of(p, "edge_dis_encoder.weight")[0] / (o.heads * o.heads);
  o.bias.quirks = {"padding_rows", "out_degree_twice"};
  const std::int64_t nodes = shape_of(p, "atom_encoder.weight")[0];
  o.node = models::MergedOptions{nodes, kStride};
  s.node_width = s.edge_width = 1;
  s.node_categories = {nodes - 3};  // padding and what the offsets leave free
  s.edge_categories = {o.bias.tables.edges - 3};
  s.encodings = pair_widths();
  return {models::build(models::ModelOptions(o), s), graphormer_name};
}

Built build_network(const json& entry) {
  const json p = by_name(entry);
  MpnnSource source;
  source.config = entry.at("config");
  source.shape = [&p](const std::string& name) {
    return p.contains(name) ? shape_of(p, name) : std::vector<std::int64_t>();
  };
  return {build_mpnn(source), mpnn_name};
}

Built build_deep_sets_layer(const json& entry) {
  const json& config = entry.at("config");
  models::GpsOptions o;
  o.width = config.at("dim").get<std::int64_t>();
  o.local = "gated_gcn";
  o.global = "deep_sets";
  o.deep_sets.emplace();
  o.deep_sets->layers = config.at("n_layers").get<std::int64_t>();
  return {std::make_shared<models::GpsLayer>(o), gps_name};
}

// First match counts.
constexpr std::pair<const char*, Built (*)(const json&)> kBuilders[] = {
    {"gps_", build_gps},
    {"gt_", build_gt},
    {"ogb_", build_network},
    {"graphormer_", build_graphormer},
    {"mpnn_vn_layer_", build_deep_sets_layer},
    {"mpnn_", build_network},
};

Built build_from(const std::string& name, const json& entry) {
  for (const auto& [prefix, build] : kBuilders) {
    if (name.starts_with(prefix)) return build(entry);
  }
  throw Skip{"no such model in gtrain: " + name};
}

// A layer alone is drawn as the model around it draws it.
void draw(torch::nn::Module& module, std::uint64_t seed) {
  if (auto* model = dynamic_cast<models::Model*>(&module)) return models::initialise(*model, seed);
  std::uint64_t number = 0;
  module.apply([&](torch::nn::Module& part) {
    base::Random random(base::key(seed, base::Purpose::kInit, ++number));
    dynamic_cast<nn::Layer&>(part).initialise(random);
  });
}

std::int64_t count_of(const torch::nn::Module& module) {
  std::int64_t count = 0;
  for (const at::Tensor& p : module.parameters()) count += p.numel();
  return count;
}

struct Moments {
  double largest = 0, sum = 0, squares = 0, count = 0;
  void add(const at::Tensor& t) {
    const at::Tensor d = t.detach().to(at::kDouble);
    largest = std::max(largest, d.abs().max().item<double>());
    sum += d.sum().item<double>();
    squares += d.square().sum().item<double>();
    count += static_cast<double>(d.numel());
  }
  double deviation() const { return std::sqrt(squares / count - std::pow(sum / count, 2)); }
};

void compare(const std::string& name, const json& distribution, const Moments& got,
             Checker& checker) {
  const std::string kind = distribution.at("kind").get<std::string>();
  if (kind == "constant") {
    const double want = std::abs(distribution.at("value").get<double>());
    return checker.close(name + " constant", got.largest, want, {1e-12, 0});
  }
  const bool uniform = kind == "uniform";
  const double bound = uniform ? distribution.at("bound").get<double>() : 0;
  const double want = uniform ? bound / std::sqrt(3) : distribution.at("std").get<double>();
  const double slack = 5 / std::sqrt(2 * got.count);
  checker.close(name + " std", got.deviation(), want, {0, slack});
  checker.close(name + " mean", got.sum / got.count, 0, {5 * want / std::sqrt(got.count), 0});
  if (uniform && got.largest > bound * (1 + 1e-6)) {
    checker.fail(fmt::format("tensor={} got largest {} want at most {}", name, got.largest, bound));
  }
}

void check_model(const std::string& name, const json& entry, Checker& checker) {
  const Built built = build_from(name, entry);
  torch::nn::Module& module = *built.module;
  checker.close(name + " parameters", static_cast<double>(count_of(module)),
                entry.at("num_parameters").get<double>(), {0, 0.1 / 1e9});
  std::map<std::string, Moments> moments;
  for (std::int64_t seed = 0; seed < kSeeds; ++seed) {
    draw(module, static_cast<std::uint64_t>(1000 + seed));
    for (const auto& p : module.named_parameters()) moments[p.key()].add(p.value());
  }
  const json parameters = by_name(entry);
  for (const auto& [reference, facts] : parameters.items()) {
    const std::string name_there = built.names(reference);
    if (name_there.empty()) continue;  // a constant of the reference, no parameter here
    const std::string own = parameter_name(module, name_there);
    if (!moments.contains(own)) {
      checker.fail(fmt::format("tensor={} {} got none want one", name, reference));
      continue;
    }
    compare(name + " " + reference, facts.at("dist"), moments.at(own), checker);
  }
}

}  // namespace

void check_init(const Case& c, Checker& checker) {
  for (const auto& [name, entry] : c.info().at("models").items()) check_model(name, entry, checker);
}

}  // namespace gtrain::golden

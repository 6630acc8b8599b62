// Initialisation: moments and bounds of every GPS tensor over 50 seeds, against the distribution
// that the reference's own initialiser was seen to draw from.
#include <fmt/format.h>

#include <cmath>
#include <cstdio>
#include <regex>

#include "golden/module_case.h"
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

// Options and data of the model whose parameters are listed.
std::shared_ptr<models::Model> build_from(const json& entry) {
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
  return models::build(models::ModelOptions(o), s);
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
  const auto model = build_from(entry);
  checker.close(name + " parameters", static_cast<double>(models::parameter_count(*model)),
                entry.at("num_parameters").get<double>(), {0, 0.1 / 1e9});
  std::map<std::string, Moments> moments;
  for (std::int64_t seed = 0; seed < kSeeds; ++seed) {
    models::initialise(*model, static_cast<std::uint64_t>(1000 + seed));
    for (const auto& p : model->named_parameters()) moments[p.key()].add(p.value());
  }
  const json parameters = by_name(entry);
  for (const auto& [reference, facts] : parameters.items()) {
    const std::string own = parameter_name(*model, gps_name(reference));
    if (!moments.contains(own)) {
      checker.fail(fmt::format("tensor={} {} got none want one", name, reference));
      continue;
    }
    compare(name + " " + reference, facts.at("dist"), moments.at(own), checker);
  }
}

}  // namespace

void check_init(const Case& c, Checker& checker) {
  std::string others;
  for (const auto& [name, entry] : c.info().at("models").items()) {
    if (name.starts_with("gps_")) {
      check_model(name, entry, checker);
    } else {
      others += " " + name;
    }
  }
  if (!others.empty()) {
    fmt::print(stderr, "init_stats: not compared, no such model in gtrain yet:{}\n", others);
  }
}

}  // namespace gtrain::golden

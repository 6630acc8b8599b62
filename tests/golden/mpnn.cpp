#include "golden/mpnn.h"

#include <fmt/format.h>

#include <algorithm>
#include <regex>

#include "golden/trajectory.h"
#include "gtrain/train/loss.h"

namespace gtrain::golden {
namespace {

using nlohmann::json;
using Shape = std::vector<std::int64_t>;

const std::vector<std::pair<std::regex, std::string>>& rules() {
  static const std::vector<std::pair<std::regex, std::string>> table = [] {
    const std::vector<std::pair<std::string, std::string>> text{
        {R"(^gnn_node\.)", ""},
        {R"(^atom_encoder\.atom_embedding_list\.(\d+)\.weight)", "features.node.column_$1"},
        {R"(^encoder\.node_encoder\.atom_embedding_list\.(\d+)\.weight)",
         "features.node.column_$1"},
        {R"(^encoder\.node_encoder\.encoder\.)", "features.node."},
        {R"(^convs\.(\d+)\.bond_encoder\.bond_embedding_list\.(\d+)\.weight)",
         "edges_$1.edge.column_$2"},
        {R"(^(convs|gnn_layers)\.(\d+)\.)", "layer_$2.local."},
        {R"(^batch_norms\.(\d+)\.)", "layer_$1.norm."},
        {R"(local\.model\.nn\.0)", "local.mlp_0"},
        {R"(local\.model\.nn\.2)", "local.mlp_1"},
        {R"(local\.mlp\.0)", "local.mlp_0"},
        {R"(local\.mlp\.1)", "local.mlp_norm"},
        {R"(local\.mlp\.3)", "local.mlp_1"},
        {R"(local\.root_emb\.weight)", "local.root"},
        {R"(local\.bn_node_x)", "local.norm_x"},
        {R"(local\.bn_edge_e)", "local.norm_e"},
        {R"(^mlp_virtualnode_list\.(\d+)\.0\.)", "virtual_$1.mlp_0."},
        {R"(^mlp_virtualnode_list\.(\d+)\.1\.)", "virtual_$1.norm_0."},
        {R"(^mlp_virtualnode_list\.(\d+)\.3\.)", "virtual_$1.mlp_1."},
        {R"(^mlp_virtualnode_list\.(\d+)\.4\.)", "virtual_$1.norm_1."},
        {R"(^virtualnode_embedding\.weight)", "virtual_node"},
        {R"(^graph_pred_linear\.)", "head.linear_0."},
    };
    std::vector<std::pair<std::regex, std::string>> out;
    for (const auto& [from, to] : text) out.emplace_back(std::regex(from), to);
    return out;
  }();
  return table;
}

// Rows of the tables <prefix>0.weight, <prefix>1.weight, …
Shape table_rows(const MpnnSource& source, const std::string& prefix) {
  Shape rows;
  for (Shape shape;
       !(shape = source.shape(fmt::format("{}{}.weight", prefix, rows.size()))).empty();) {
    rows.push_back(shape[0]);
  }
  return rows;
}

// `usual`: what the reference takes where its configuration does not say.
std::string pool_of(const json& config, const char* key, const char* usual) {
  const std::string pool = config.value(key, usual);
  return pool == "add" ? "sum" : pool;
}

void set_ogb(const MpnnSource& source, models::MpnnOptions& o, models::Signature& s) {
  const json& config = source.config;
  o.width = config.at("emb_dim").get<std::int64_t>();
  o.layers = config.at("num_layer").get<std::int64_t>();
  o.local = "ogb_" + config.at("gnn_type").get<std::string>();
  o.norm = "batch";
  o.last_activation = false;
  o.residual = config.value("residual", false);
  o.jump = config.value("JK", "last");
  o.edge_vectors = "own";
  if (config.at("virtual_node").get<bool>()) {
    o.virtual_node = models::ClassicVirtualNodeOptions{"input", 2, o.residual};
  }
  o.node = models::CategoricalOptions{};
  o.edge = models::CategoricalOptions{};
  s.node_categories = table_rows(source, "gnn_node.atom_encoder.atom_embedding_list.");
  s.edge_categories = table_rows(source, "gnn_node.convs.0.bond_encoder.bond_embedding_list.");
  s.outputs = config.at("num_tasks").get<std::int64_t>();
  o.head = models::MlpHeadOptions{1, pool_of(config, "graph_pooling", "mean")};
}

void set_features(const MpnnSource& source, models::MpnnOptions& o, models::Signature& s) {
  const std::string node = "encoder.node_encoder.", edge = "encoder.edge_encoder.";
  const Shape type = source.shape(node + "encoder.weight");
  if (!type.empty()) {
    s.node_categories = {type[0]};
    s.edge_categories = {source.shape(edge + "encoder.weight").at(0)};
    o.node = models::TypeOptions{};
    o.edge = models::TypeOptions{};
    return;
  }
  o.node = models::CategoricalOptions{};
  o.edge = models::CategoricalOptions{};
  s.node_categories = table_rows(source, node + "encoder1.atom_embedding_list.");
  if (s.node_categories.empty())
    s.node_categories = table_rows(source, node + "atom_embedding_list.");
  s.edge_categories = table_rows(source, edge + "bond_embedding_list.");
  if (const Shape walk = source.shape(node + "encoder2.pe_encoder.weight"); !walk.empty()) {
    models::LinearEncoderOptions e;
    e.dim = walk[0];
    s.encodings["random_walk"] = walk[1];
    o.encoders = {e};
  } else if (const Shape set = source.shape(node + "encoder2.pe_encoder.1.weight"); !set.empty()) {
    models::DeepSetEncoderOptions e;
    e.dim = set[0];
    s.encodings["laplacian"] = source.encoding_width;
    o.encoders = {e};
  }
}

void set_fork(const MpnnSource& source, models::MpnnOptions& o, models::Signature& s) {
  const json& config = source.config;
  const std::string head = "post_mp.layer_post_mp.model.";
  o.width = config.at("dim_inner").get<std::int64_t>();
  o.layers = config.at("layers_mp").get<std::int64_t>();
  const bool gine = !source.shape("gnn_layers.0.model.nn.0.weight").empty();
  o.local = gine ? "gine" : "gated_gcn";
  if (!source.shape("virtualnode_embedding.weight").empty()) {
    o.virtual_node =
        models::ClassicVirtualNodeOptions{"output", 1, config.value("vn_residual", false)};
  }
  set_features(source, o, s);
  std::int64_t hidden = 0;
  while (!source.shape(fmt::format("{}0.Layer_{}.layer.model.weight", head, hidden)).empty()) {
    ++hidden;
  }
  o.head = models::MlpHeadOptions{hidden + 1, pool_of(config, "pooling", "add")};
  s.outputs = source.shape(head + (hidden > 0 ? "1" : "0") + ".model.weight").at(0);
}

Batch read_mpnn_batch(const Case& c, const std::string& prefix, at::ScalarType type) {
  Batch out = read_batch(c, prefix, type);
  if (c.has(prefix + "pestat_RWSE")) {
    out.batch.encoding["random_walk"] = c.input(prefix + "pestat_RWSE", type);
  }
  if (c.has(prefix + "EigVecs")) {
    out.batch.encoding["laplacian.vectors"] = c.input(prefix + "EigVecs", type);
    out.batch.encoding["laplacian.values"] = c.input(prefix + "EigVals", type).squeeze(2);
  }
  return out;
}

// The second dropout of a GatedGCN is on edge rows.
std::vector<at::Tensor> masks_of(const Case& c, const at::Tensor& permutation) {
  std::vector<at::Tensor> masks;
  for (const json& site : c.info().value("dropout_sites", json::array())) {
    const std::string name = site.at("site").get<std::string>();
    if (!c.has("mask." + name)) continue;
    const at::Tensor mask = c.input("mask." + name, at::kFloat);
    const bool edges = name.starts_with("gnn_layers.") && name.ends_with("#1");
    masks.push_back(edges ? mask.index_select(0, permutation) : mask);
  }
  return masks;
}

at::Tensor loss_of(const Case& c, const at::Tensor& output, const at::Tensor& label) {
  const bool l1 = c.info().at("loss").get<std::string>().find("L1") != std::string::npos;
  const data::Task task = l1 ? data::Task::kGraphRegression : data::Task::kGraphMultilabel;
  return train::find_loss(l1 ? "l1" : "bce", task)
      .value(output, label.to(output.scalar_type()).reshape(output.sizes()));
}

void check(const Case& c, Checker& checker, at::ScalarType type) {
  const auto model = build_mpnn(mpnn_source(c));
  load(c, *model, mpnn_name, type);
  const Batch read = read_mpnn_batch(c, "input.", type);
  const std::vector<at::Tensor> masks = masks_of(c, read.permutation);
  const at::Tensor label = c.input("input.y", type);
  at::Tensor output;
  const auto loss = [&] {
    nn::Context context;
    context.training = c.info().at("mode") == "train";
    if (!masks.empty()) context.masks = &masks;
    if (c.has("input.lappe_sign")) context.signs = c.input("input.lappe_sign", type);
    output = model->forward(read.batch, context);
    return loss_of(c, output, label);
  };
  const at::Tensor value = loss();
  value.backward();
  checker.close("output", output, c.expected("output", type), tolerance(c, "output", type));
  checker.close("loss", value, c.expected("loss", type), tolerance(c, "loss", type));
  compare_module(c, checker, *model, mpnn_name, type);
  compare_optimizer(c, checker, *model, loss, type);
}

}  // namespace

std::string mpnn_name(const std::string& reference) {
  if (reference.ends_with("num_batches_tracked") || reference.ends_with("model.eps")) return {};
  std::string name = reference;
  for (const auto& [from, to] : rules()) name = std::regex_replace(name, from, to);
  return gps_name(name);
}

MpnnSource mpnn_source(const Case& c) {
  MpnnSource source;
  source.config = c.info().at("config");
  source.shape = [&c](const std::string& name) {
    return c.has("param." + name) ? c.input("param." + name, at::kFloat).sizes().vec() : Shape();
  };
  if (c.has("input.EigVecs")) source.encoding_width = c.input("input.EigVecs", at::kFloat).size(1);
  for (const json& site : c.info().value("dropout_sites", json::array())) {
    source.dropout = std::max(source.dropout, site.at("p").get<double>());
  }
  return source;
}

std::shared_ptr<models::Model> build_mpnn(const MpnnSource& source) {
  models::MpnnOptions o;
  models::Signature s;
  o.dropout = source.dropout;
  if (source.config.contains("emb_dim")) {
    set_ogb(source, o, s);
  } else {
    set_fork(source, o, s);
  }
  s.node_width = static_cast<std::int64_t>(s.node_categories.size());
  s.edge_width = static_cast<std::int64_t>(s.edge_categories.size());
  return models::build_model(o, s);
}

void check_mpnn(const Case& c, Checker& checker) {
  check(c, checker, at::kDouble);
  check(c, checker, at::kFloat);
}

void check_ogb_trajectory(const Case& c, Checker& checker) {
  for (const at::ScalarType type : {at::kDouble, at::kFloat}) {
    const auto model = build_mpnn(mpnn_source(c));
    check_trajectory(c, checker,
                     {*model, mpnn_name,
                      [&](const std::string& prefix) { return read_mpnn_batch(c, prefix, type); },
                      [&](const at::Tensor& output, const at::Tensor& label) {
                        return loss_of(c, output, label);
                      }},
                     type);
  }
}

}  // namespace gtrain::golden

// Whole GPS models: encoders, layers, head, loss, gradients and the optimizer trace.
#include "golden/gps_model.h"

#include <fmt/format.h>

#include "golden/graphormer.h"
#include "gtrain/train/loss.h"

namespace gtrain::golden {
namespace {

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts;
  std::string part;
  for (const char ch : text + at) {
    if (ch == at) {
      parts.push_back(part);
      part.clear();
    } else {
      part += ch;
    }
  }
  return parts;
}

std::vector<std::int64_t> table_rows(const Case& c, const std::string& prefix) {
  std::vector<std::int64_t> rows;
  while (c.has(fmt::format("{}{}.weight", prefix, rows.size()))) {
    rows.push_back(c.input(fmt::format("{}{}.weight", prefix, rows.size()), at::kFloat).size(0));
  }
  return rows;
}

std::string norm_of(const nlohmann::json& encoder) {
  return encoder.at("raw_norm_type") == "BatchNorm" ? "batch" : "none";
}

models::EncoderOptions sign_net_of(const nlohmann::json& o) {
  models::SignNetEncoderOptions e;
  e.dim = o.at("dim_pe").get<std::int64_t>();
  e.model = o.at("model") == "MLP" ? "mlp" : "deepset";
  e.phi_layers = o.at("layers").get<std::int64_t>();
  e.phi_width = o.at("phi_hidden_dim").get<std::int64_t>();
  e.phi_outputs = o.at("phi_out_dim").get<std::int64_t>();
  e.rho_layers = o.at("post_layers").get<std::int64_t>();
  if (e.model == "deepset") e.quirks = {"signnet_padded_norm"};
  return e;
}

models::EncoderOptions encoder_of(const Case& c, const std::string& name) {
  const auto& pe = c.info().at("config").at("posenc");
  if (name == "RWSE") {
    const auto& o = pe.at("RWSE");
    if (o.at("model") != "Linear") throw Skip{"RWSE model " + o.at("model").get<std::string>()};
    models::LinearEncoderOptions e;
    e.dim = o.at("dim_pe").get<std::int64_t>();
    e.norm = norm_of(o);
    return e;
  }
  if (name == "EquivStableLapPE") {
    models::StableEncoderOptions e;
    e.norm = norm_of(pe.at(name));
    return e;
  }
  if (name == "SignNet") return sign_net_of(pe.at(name));
  if (name != "LapPE") throw Skip{"node encoder " + name};
  const auto& o = pe.at("LapPE");
  if (o.at("model") != "DeepSet") throw Skip{"LapPE model " + o.at("model").get<std::string>()};
  models::DeepSetEncoderOptions e;
  e.norm = norm_of(o);
  e.dim = o.at("dim_pe").get<std::int64_t>();
  e.layers = o.at("layers").get<std::int64_t>();
  e.post_layers = o.at("post_layers").get<std::int64_t>();
  return e;
}

void set_node(const Case& c, models::GpsOptions& o, models::Signature& s) {
  const std::string name = c.info().at("config").at("node_encoder").get<std::string>();
  std::vector<std::string> parts = split(name, '+');
  const std::string table = "param.encoder.node_encoder.encoder1.encoder.weight";
  if (parts[0] == "TypeDictNode") {
    o.node = models::TypeOptions{c.input(table, at::kFloat).size(0)};
    s.node_categories = {c.input(table, at::kFloat).size(0)};
    s.node_width = 1;
  } else if (parts[0] == "Atom") {
    o.node = models::CategoricalOptions{};
    s.node_categories = table_rows(c, "param.encoder.node_encoder.encoder1.atom_embedding_list.");
    s.node_width = static_cast<std::int64_t>(s.node_categories.size());
  } else if (parts[0] == "VOCNode") {
    o.node = models::LinearOptions{};
    s.node_width = c.input(table, at::kFloat).size(1);
  } else if (parts.size() == 1) {  // a lone encoding projects the raw columns itself
    o.node = models::LinearOptions{};
    s.node_width = c.input("param.encoder.node_encoder.linear_x.weight", at::kFloat).size(1);
    parts.insert(parts.begin(), "");
  } else {
    throw Skip{"node encoder " + parts[0]};
  }
  for (std::size_t i = 1; i < parts.size(); ++i) {
    if (parts[i] == "GraphormerBias") {
      o.bias = port_bias(c);
      if (o.bias->token) o.quirks.push_back("token_shifted_edges");
    } else {
      o.encoders.push_back(encoder_of(c, parts[i]));
    }
  }
}

void set_edge(const Case& c, models::GpsOptions& o, models::Signature& s) {
  const std::string name = c.info().at("config").at("edge_encoder").get<std::string>();
  const std::string table = "param.encoder.edge_encoder.encoder.weight";
  if (name == "TypeDictEdge") {
    o.edge = models::TypeOptions{c.input(table, at::kFloat).size(0)};
    s.edge_categories = {c.input(table, at::kFloat).size(0)};
    s.edge_width = 1;
  } else if (name == "Bond") {
    o.edge = models::CategoricalOptions{};
    s.edge_categories = table_rows(c, "param.encoder.edge_encoder.bond_embedding_list.");
    s.edge_width = static_cast<std::int64_t>(s.edge_categories.size());
  } else if (name == "DummyEdge") {
    o.edge = models::ConstantOptions{};
  } else if (name == "VOCEdge" || name == "LinearEdge") {
    o.edge = models::LinearOptions{};
    s.edge_width = c.input(table, at::kFloat).size(1);
  } else {
    throw Skip{"edge encoder " + name};
  }
}

void set_head(const Case& c, models::GpsOptions& o, models::Signature& s) {
  const auto& config = c.info().at("config");
  const std::string head = config.at("head").get<std::string>();
  const std::map<std::string, std::string> pools{
      {"add", "sum"}, {"mean", "mean"}, {"max", "max"}, {"graph_token", "graph_token"}};
  const std::string pool = config.at("pooling").get<std::string>();
  const std::int64_t layers = config.value("layers_post_mp", std::int64_t{1});
  // Trajectories record no output; their labels have its columns.
  s.outputs = c.expects("output", at::kFloat) ? c.expected("output", at::kFloat).size(-1)
              : c.input("input.b0.y", at::kFloat).dim() > 1
                  ? c.input("input.b0.y", at::kFloat).size(1)
                  : 1;
  s.level = data::Level::kGraph;
  if (head == "inductive_edge") {
    o.head = models::EdgeHeadOptions{layers};
    s.level = data::Level::kEdge;
    s.outputs = 1;
    return;
  }
  if (head == "inductive_node" || head == "node") {
    o.head = models::NodeHeadOptions{layers};
    s.level = data::Level::kNode;
    return;
  }
  if (!pools.contains(pool)) throw Skip{"pooling " + pool};
  if (head == "san_graph") {
    o.head = models::HalvingHeadOptions{2, pools.at(pool)};
  } else if (head == "graph" || head == "default") {
    o.head = models::MlpHeadOptions{layers, pools.at(pool)};
  } else {
    throw Skip{"head " + head};
  }
}

void check(const Case& c, Checker& checker, at::ScalarType type) {
  const GpsCase built = build_gps_case(c);
  load(c, *built.model, gps_name, type);
  const Batch read = read_gps_batch(c, "input.", type);
  const std::vector<at::Tensor> masks = read_masks(c, read.permutation);
  const at::Tensor label =
      c.input(c.has("input.edge_label") ? "input.edge_label" : "input.y", type);
  at::Tensor output;
  const auto loss = [&] {
    nn::Context context;
    context.training = c.info().at("mode") == "train";
    if (!masks.empty()) context.masks = &masks;
    if (c.has("input.lappe_sign")) context.signs = c.input("input.lappe_sign", type);
    output = built.model->forward(read.batch, context);
    return gps_loss(c, output, label);
  };
  const at::Tensor value = loss();
  value.backward();
  const at::Tensor want = c.expected("output", type);
  checker.close("output", output.reshape(want.sizes()), want, tolerance(c, "output", type));
  checker.close("loss", value, c.expected("loss", type), tolerance(c, "loss", type));
  compare_module(c, checker, *built.model, gps_name, type);
  compare_optimizer(c, checker, *built.model, loss, type);
}

}  // namespace

GpsCase build_gps_case(const Case& c) {
  const auto& config = c.info().at("config");
  if (config.at("model") != "GPSModel") {
    throw Skip{"model " + config.at("model").get<std::string>()};
  }
  const std::vector<std::string> type = split(config.at("layer_type").get<std::string>(), '+');
  const std::map<std::string, std::string> locals{
      {"GINE", "gine"}, {"CustomGatedGCN", "gated_gcn"}, {"GCN", "gcn"}, {"None", "none"}};
  if (!locals.contains(type[0])) throw Skip{"local branch " + type[0]};
  if (type[1] != "Transformer" && type[1] != "None" && type[1] != "BiasedTransformer")
    throw Skip{"global branch " + type[1]};
  models::GpsOptions o;
  models::Signature s;
  o.local = locals.at(type[0]);
  o.global = type[1] == "None" ? "none" : type[1] == "Transformer" ? "attention" : "biased";
  o.layers = config.at("overrides").at("L").get<std::int64_t>();
  o.width = config.at("overrides").at("d").get<std::int64_t>();
  o.heads = config.at("n_heads").get<std::int64_t>();
  o.activation = config.at("act").get<std::string>();
  for (const auto& site : c.info().value("dropout_sites", nlohmann::json::array())) {
    const bool weights = site.at("kind") == "softmax weights";
    (weights ? o.attention_dropout : o.dropout) = site.at("p").get<double>();
  }
  set_node(c, o, s);
  set_edge(c, o, s);
  set_head(c, o, s);
  const std::string first = c.has("input.b0.x") ? "input.b0." : "input.";
  if (c.has(first + "pestat_RWSE")) {
    s.encodings["random_walk"] = c.input(first + "pestat_RWSE", at::kFloat).size(1);
  }
  for (const char* vectors : {"EigVecs", "eigvecs_sn"}) {
    if (c.has(first + vectors)) {
      s.encodings["laplacian"] = c.input(first + vectors, at::kFloat).size(1);
    }
  }
  if (o.bias) s.encodings.merge(pair_widths());
  return {models::build_model(o, s), s.level == data::Level::kNode};
}

Batch read_gps_batch(const Case& c, const std::string& prefix, at::ScalarType type) {
  Batch out = read_batch(c, prefix, type);
  if (c.has(prefix + "spatial_types")) read_pairs(c, prefix, port_paths(), out.batch);
  if (c.has(prefix + "pestat_RWSE")) {
    out.batch.encoding["random_walk"] = c.input(prefix + "pestat_RWSE", type);
  }
  if (c.has(prefix + "EigVecs")) {
    out.batch.encoding["laplacian.vectors"] = c.input(prefix + "EigVecs", type);
    out.batch.encoding["laplacian.values"] = c.input(prefix + "EigVals", type).squeeze(2);
  }
  if (c.has(prefix + "eigvecs_sn")) {
    out.batch.encoding["laplacian.vectors"] = c.input(prefix + "eigvecs_sn", type);
  }
  if (c.has(prefix + "edge_index_labeled")) {
    out.batch.pair = c.input(prefix + "edge_index_labeled", type).t().contiguous();
  }
  return out;
}

at::Tensor gps_loss(const Case& c, const at::Tensor& output, const at::Tensor& label) {
  const auto& config = c.info().at("config");
  const std::string name = config.at("loss_fun").get<std::string>();
  const bool classes = !label.is_floating_point() && output.size(-1) > 1;
  const bool labels = config.value("task_type", "") == "classification_multilabel";
  const data::Task task = name == "l1"         ? data::Task::kGraphRegression
                          : labels || !classes ? data::Task::kGraphBinary
                          : output.size(0) > 0 ? data::Task::kNodeClass
                                               : data::Task::kGraphClass;
  const std::string own = name == "cross_entropy" ? (classes ? "cross_entropy" : "bce") : name;
  const at::Tensor shaped =
      classes ? label.reshape(-1) : label.to(output.scalar_type()).reshape(output.sizes());
  return train::find_loss(own, task).value(output, shaped);
}

void check_gps_model(const Case& given, Checker& checker) {
  const Case c = with_graphormer_names(given);
  check(c, checker, at::kDouble);
  check(c, checker, at::kFloat);
}

}  // namespace gtrain::golden

// Models with random weights and statistics, and batches of odd graphs, for tests of exported
// modules.
#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "gtrain/base/random.h"
#include "gtrain/data/batch.h"
#include "gtrain/deploy/script_module.h"
#include "gtrain/encode/encoding.h"
#include "gtrain/models/gps.h"
#include "gtrain/models/graphormer.h"
#include "gtrain/models/graphtrans.h"
#include "gtrain/models/gt.h"
#include "gtrain/models/mpnn.h"
#include "gtrain/models/san.h"
#include "gtrain/models/zoo.h"
#include "support/odd_graph.h"

namespace gtrain::deploy {

struct Raw {
  std::vector<std::int64_t> node_categories{7, 5}, edge_categories{4, 3};
};

inline data::Column to_column(const std::string& name, const std::vector<std::int64_t>& values,
                              std::int64_t width) {
  const auto rows = static_cast<std::int64_t>(values.size()) / width;
  auto filling = data::make_column<std::int64_t>(name, data::Per::kNode, rows, width);
  std::copy(values.begin(), values.end(), filling.data);
  return filling.column;
}

// The graphs as a data set with random categories; edges are stored sorted by (target, source).
inline data::Dataset categorical_dataset(const std::vector<support::OddGraph>& graphs,
                                         const Raw& raw = {}) {
  std::vector<std::int64_t> node_start{0}, edge_start{0}, row_start{0}, x, e;
  std::vector<std::int32_t> source;
  base::Random random(11);
  for (const support::OddGraph& g : graphs) {
    std::vector<std::pair<std::int64_t, std::int64_t>> arcs;
    for (std::size_t i = 0; i < g.source.size(); ++i) arcs.emplace_back(g.target[i], g.source[i]);
    std::sort(arcs.begin(), arcs.end());
    std::size_t next = 0;
    for (std::int64_t i = 0; i < g.nodes; ++i) {
      for (; next < arcs.size() && arcs[next].first == i; ++next) {
        source.push_back(static_cast<std::int32_t>(arcs[next].second));
      }
      row_start.push_back(static_cast<std::int64_t>(source.size()));
    }
    node_start.push_back(node_start.back() + g.nodes);
    edge_start.push_back(static_cast<std::int64_t>(source.size()));
  }
  const auto draw = [&](std::int64_t rows, const std::vector<std::int64_t>& categories) {
    std::vector<std::int64_t> out;
    for (std::int64_t i = 0; i < rows; ++i) {
      for (const std::int64_t count : categories) {
        out.push_back(static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(count))));
      }
    }
    return out;
  };
  data::Dataset d;
  d.info.name = "odd";
  d.info.metric = "mae";
  d.info.node_categories = raw.node_categories;
  d.info.edge_categories = raw.edge_categories;
  d.node_start = to_column("node_start", node_start, 1);
  d.edge_start = to_column("edge_start", edge_start, 1);
  d.row_start = to_column("row_start", row_start, 1);
  auto filling = data::make_column<std::int32_t>("source", data::Per::kEdge,
                                                 static_cast<std::int64_t>(source.size()), 1);
  std::copy(source.begin(), source.end(), filling.data);
  d.source = filling.column;
  d.node_features = to_column("x", draw(node_start.back(), raw.node_categories),
                              static_cast<std::int64_t>(raw.node_categories.size()));
  d.edge_features = to_column("e", draw(edge_start.back(), raw.edge_categories),
                              static_cast<std::int64_t>(raw.edge_categories.size()));
  const auto graphs_count = static_cast<std::int64_t>(graphs.size());
  d.labels = data::make_column<float>("y", data::Per::kGraph, graphs_count, 1).column;
  return d;
}

inline std::vector<encode::EncodingOptions> all_encodings() {
  return {encode::RandomWalkOptions{.steps = 7}, encode::LaplacianOptions{.count = 5, .quirks = {}},
          encode::DegreeOptions{}, encode::HopDistanceOptions{}, encode::ShortestPathOptions{}};
}

inline models::Signature signature_of(const data::Dataset& dataset,
                                      const std::vector<encode::EncodingOptions>& encodings) {
  std::map<std::string, std::int64_t> widths;
  for (const auto& o : encodings) {
    widths[std::string(encode::name_of(o))] = encode::width_of(o);
  }
  return models::signature_of(dataset, widths);
}

inline std::vector<data::Column> compute_all(
    const data::Dataset& dataset, const std::vector<encode::EncodingOptions>& encodings) {
  std::vector<data::Column> out;
  for (const auto& o : encodings) {
    for (data::Column& c : encode::compute(dataset, o)) out.push_back(std::move(c));
  }
  return out;
}

inline ExportSpec spec_of(const models::Signature& signature,
                          const std::vector<encode::EncodingOptions>& encodings) {
  ExportSpec spec;
  spec.signature = signature;
  spec.encode = encodings;
  return spec;
}

// A small GPS that reads every encoding.
inline models::GpsOptions small_gps() {
  models::GpsOptions o;
  o.width = 16;
  o.layers = 2;
  o.heads = 2;
  o.node = models::CategoricalOptions{};
  o.edge = models::CategoricalOptions{};
  o.encoders = {models::LinearEncoderOptions{.of = "random_walk", .dim = 4},
                models::DeepSetEncoderOptions{.dim = 3},
                models::MlpEncoderOptions{.of = "degree", .dim = 16, .join = "add"}};
  o.head = models::HalvingHeadOptions{};
  return o;
}

// Message passing in every form, with the categories' embeddings alone.
inline std::map<std::string, models::MpnnOptions> small_mpnns() {
  models::MpnnOptions o;
  o.width = 8;
  o.layers = 2;
  o.node = models::CategoricalOptions{};
  o.edge = models::CategoricalOptions{};
  o.head = models::MlpHeadOptions{};
  std::map<std::string, models::MpnnOptions> out{{"plain", o}};
  models::MpnnOptions tuned = o;
  tuned.activation = "gelu";
  tuned.node = models::StandardisedOptions{{3.0, 1.5}, {2.0, 0.25}};
  tuned.head = models::WideHeadOptions{.layers = 3, .pool = "mean", .dropout = 0.5};
  tuned.local = "gcn";
  tuned.edge = models::IdleOptions{};
  out["wide_idle_edges"] = tuned;
  tuned.local = "residual_gine";
  tuned.edge = models::StandardisedOptions{{1.0, 0.5}, {0.5, 4.0}};
  tuned.head = models::WideHeadOptions{.layers = 2, .pool = "sum", .dropout = 0.5};
  out["wide_residual_gine"] = tuned;
  o.virtual_node = models::ClassicVirtualNodeOptions{"output", 1, true};
  out["classic"] = o;
  for (const bool sum : {true, false}) {
    o.virtual_node = models::HeterogeneousVirtualNodeOptions{sum ? "sum" : "mean", sum};
    out[sum ? "heterogeneous_sum" : "heterogeneous_mean"] = o;
    o.virtual_node = models::AttentionVirtualNodeOptions{2, sum ? "elu" : "exp", 5};
    out[sum ? "attention_elu" : "attention_exp"] = o;
  }
  o.local = "ogb_gin";
  o.norm = "batch";
  o.residual = o.last_activation = false;
  o.edge_vectors = "own";
  o.jump = "sum";
  o.virtual_node = models::ClassicVirtualNodeOptions{};
  out["ogb_gin"] = o;
  o.edge_vectors = "shared";
  o.edge = models::NoneOptions{};
  o.unit_rows = true;
  o.virtual_node = models::NoVirtualNodeOptions{};
  for (const char* local : {"gcn", "gcnii"}) {
    o.local = local;
    out[local] = o;
  }
  return out;
}

// GraphTrans with each form of token, norm, cut and edge vectors.
inline std::map<std::string, models::GraphTransOptions> small_graphtrans() {
  models::GraphTransOptions o;
  o.width = 16;
  o.layers = 2;
  o.heads = 2;
  o.hidden = 12;
  o.gnn.width = 8;
  o.gnn.layers = 2;
  o.gnn.jump = "concat";
  o.gnn.virtual_node = models::ClassicVirtualNodeOptions{};
  o.node = models::CategoricalOptions{};
  o.edge = models::CategoricalOptions{};
  std::map<std::string, models::GraphTransOptions> out{{"token", o}};
  o.max_nodes = 3;
  out["last_nodes"] = o;
  o.token = false;
  o.norm = "before";
  o.activation = "gelu";
  o.head = models::HalvingHeadOptions{1, "mean"};
  out["mean_of_last_nodes"] = o;
  o.max_nodes = 0;
  o.token = true;
  o.gnn.edge_vectors = "shared";
  o.edge = models::NoneOptions{};
  o.head = models::HalvingHeadOptions{1, "none"};
  for (const char* local : {"ogb_gin", "ogb_gcn"}) {
    o.gnn.local = local;
    out[std::string("nodes_") + local] = o;
  }
  return out;
}

// Graphormer with each form of path edges, token, norm and head, and with its authors' quirks.
inline std::map<std::string, models::GraphormerOptions> small_graphormers() {
  models::GraphormerOptions o;
  o.width = o.hidden = 16;
  o.layers = 2;
  o.heads = 2;
  o.init = "own";
  o.node = models::CategoricalOptions{};
  o.bias.degrees = 4;
  o.bias.max_distance = 5;
  o.bias.hops = 3;
  o.head = models::HalvingHeadOptions{0, "graph_token"};
  std::map<std::string, models::GraphormerOptions> out{{"paths", o}};
  o.bias.quirks = {"padding_rows", "v1_padding", "out_degree_twice"};
  out["first_version"] = o;
  o.bias.quirks = {"port_padding", "port_token_sort"};
  o.final_norm = false;
  o.head = models::GraphormerHeadOptions{};
  out["port"] = o;
  o.bias.quirks = {"padding_rows"};
  o.norm = "after";
  o.input_norm = true;
  o.head = models::TransformHeadOptions{"graph_token", {"idle_pooler"}};
  out["second_version"] = o;
  o.bias.quirks.clear();
  o.bias.path = "single_hop";
  o.bias.cut = 3;
  out["single_hop"] = o;
  o.bias.path = "none";
  o.head = models::HalvingHeadOptions{1, "none"};
  out["nodes"] = o;
  o.bias.token = false;
  out["nodes_alone"] = o;
  return out;
}

// Random weights, and statistics as if it had been trained. `change` acts on it before.
inline std::shared_ptr<models::Model> random_model(
    const models::ModelOptions& options, const models::Signature& signature,
    const std::function<void(models::Model&)>& change = [](models::Model&) {}) {
  auto model = models::build(options, signature);
  change(*model);
  models::initialise(*model, 5);
  base::Random random(6);
  for (const auto& item : model->named_buffers()) {
    const bool variance = item.key().find("var") != std::string::npos;
    const at::NoGradGuard guard;
    const at::Tensor flat = item.value().view({-1});
    for (std::int64_t i = 0; i < flat.numel(); ++i) {
      flat[i].fill_(variance ? 0.3 + random.uniform() : random.uniform() - 0.5);
    }
  }
  return model;
}

inline std::vector<at::Tensor> inputs_of(const data::GraphBatch& b) {
  return {b.node, at::stack({b.source, b.target}), b.edge, b.graph};
}

inline at::Tensor run_script(torch::jit::Module& module, const std::vector<at::Tensor>& inputs) {
  const at::NoGradGuard guard;
  return module.forward({inputs.begin(), inputs.end()}).toTensor();
}

inline at::Tensor run_model(models::Model& model, const data::GraphBatch& batch) {
  const at::NoGradGuard guard;
  nn::Context context;
  return model.forward(batch, context);
}

}  // namespace gtrain::deploy

// One line per model, or form of a model, whose properties zoo_test.cpp checks, and graphs with
// everything on them that any model reads: raw columns and encodings by graph, so that they can be
// renumbered, packed alone and packed together.
#pragma once

#include <algorithm>
#include <limits>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "gtrain/data/batch.h"
#include "gtrain/graph/csr.h"
#include "gtrain/graph/hop_distance.h"
#include "gtrain/graph/shortest_path.h"
#include "gtrain/models/gps.h"
#include "gtrain/models/graphormer.h"
#include "gtrain/models/graphtrans.h"
#include "gtrain/models/gt.h"
#include "gtrain/models/mpnn.h"
#include "gtrain/models/san.h"
#include "gtrain/models/zoo.h"
#include "support/layer_case.h"

namespace gtrain::models::zoo_case {

// Tensors of one graph; edge rows in the order of its arcs, pairs row by row.
struct Specimen {
  support::OddGraph graph;
  at::Tensor node, edge;                                         // int64 [n, 2], [e, 1]
  at::Tensor walk, values, vectors, roles, degree, hops, inner;  // [n, K]; the last two [n, n]
};

inline Signature signature() {
  Signature s;
  s.outputs = 2;
  s.node_width = 2;
  s.edge_width = 1;
  s.node_categories = {5, 3};
  s.edge_categories = {4};
  s.encodings = {{"random_walk", 6}, {"laplacian", 3},    {"weisfeiler_lehman", 1},
                 {"degree", 2},      {"hop_distance", 1}, {"shortest_path", 1}};
  return s;
}

inline at::Tensor draw(std::int64_t rows, std::int64_t columns, base::Random& random) {
  const at::Tensor out = at::empty({rows, columns}, at::kDouble);
  double* p = out.mutable_data_ptr<double>();
  for (std::int64_t i = 0; i < out.numel(); ++i) p[i] = 2 * random.uniform() - 1;
  return out;
}

inline at::Tensor draw_below(std::int64_t rows, std::int64_t limit, base::Random& random) {
  return ((draw(rows, 1, random) + 1) / 2 * static_cast<double>(limit)).floor().to(at::kLong);
}

inline Specimen specimen(const support::OddGraph& g, std::uint64_t seed) {
  base::Random random(seed);
  const std::int64_t n = g.nodes, e = static_cast<std::int64_t>(g.source.size());
  Specimen s{g, {}, {}, {}, {}, {}, {}, {}, {}, {}};
  s.node = at::cat({draw_below(n, 5, random), draw_below(n, 3, random)}, 1);
  s.edge = draw_below(e, 4, random);
  s.walk = draw(n, 6, random);
  const at::Tensor missing = (at::arange(3) >= n).unsqueeze(0);
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  s.values = draw(1, 3, random).expand({n, 3}).masked_fill(missing, kNone);
  s.vectors = draw(n, 3, random).masked_fill(missing, kNone);
  s.roles = draw_below(n, 7, random);
  const graph::Csr csr = graph::build(n, g.source, g.target);
  const auto size = static_cast<std::size_t>(n * n);
  std::vector<std::uint8_t> hops(size);
  std::vector<std::int32_t> inner(size);
  graph::hop_matrix(csr, 254, hops);
  graph::inner_nodes(csr, graph::PathTie::kSmallest, inner);
  s.hops = at::tensor(hops, at::kByte).view({n, n});
  s.inner = at::tensor(inner, at::kInt).to(at::kLong).view({n, n});
  const at::Tensor ends[] = {at::tensor(g.target, at::kLong), at::tensor(g.source, at::kLong)};
  s.degree = at::stack({at::bincount(ends[0], {}, n), at::bincount(ends[1], {}, n)}, 1);
  return s;
}

// The same graph with node p[i] (old) as its node i (new).
inline Specimen renumbered(const Specimen& s, const at::Tensor& p) {
  Specimen out = s;
  const at::Tensor inverse = at::argsort(p);
  const auto renumber = [&](std::vector<std::int64_t>& ends) {
    for (std::int64_t& end : ends) end = inverse[end].item<std::int64_t>();
  };
  renumber(out.graph.source);
  renumber(out.graph.target);
  for (at::Tensor* t : {&out.node, &out.walk, &out.values, &out.vectors, &out.roles, &out.degree}) {
    *t = t->index_select(0, p);
  }
  for (at::Tensor* t : {&out.hops, &out.inner}) *t = t->index_select(0, p).index_select(1, p);
  const at::Tensor node = at::cat({inverse, at::full({1}, -1, at::kLong)});  // -1 stays
  const at::Tensor old = at::where(out.inner < 0, p.size(0), out.inner).flatten();
  out.inner = node.index_select(0, old).view_as(out.inner);
  return out;
}

inline data::GraphBatch packed(const std::vector<Specimen>& graphs) {
  data::GraphBatch b;
  std::vector<at::Tensor> source, target, owner;
  std::map<std::string, std::vector<at::Tensor>> columns;
  std::vector<at::Tensor> node, edge;
  std::vector<std::int64_t> pair_start{0};
  std::int64_t first = 0, number = 0;
  for (const Specimen& s : graphs) {
    const std::int64_t n = s.graph.nodes;
    source.push_back(at::tensor(s.graph.source, at::kLong) + first);
    target.push_back(at::tensor(s.graph.target, at::kLong) + first);
    owner.push_back(at::full({n}, number++, at::kLong));
    node.push_back(s.node);
    edge.push_back(s.edge);
    columns["random_walk"].push_back(s.walk);
    columns["laplacian.values"].push_back(s.values);
    columns["laplacian.vectors"].push_back(s.vectors);
    columns["weisfeiler_lehman"].push_back(s.roles);
    columns["degree"].push_back(s.degree);
    columns["hop_distance"].push_back(s.hops.reshape({n * n, 1}));
    columns["shortest_path"].push_back(s.inner.reshape({n * n, 1}));
    pair_start.push_back(pair_start.back() + n * n);
    first += n;
  }
  b.source = at::cat(source);
  b.target = at::cat(target);
  b.graph = at::cat(owner);
  b.node = at::cat(node);
  b.edge = at::cat(edge);
  for (const auto& [name, parts] : columns) b.encoding[name] = at::cat(parts);
  b.pair_start = at::tensor(pair_start, at::kLong);
  data::finish(b, first, number);
  return b;
}

struct ZooCase {
  std::string name;
  ModelOptions options;
  bool node_level = false;
  bool numbered = false;  // reads the numbers of nodes: who is whose neighbour in order, first, …
};

inline void PrintTo(const ZooCase& c, std::ostream* out) { *out << c.name; }

// Width 16, two layers, dropout everywhere; what the model's own line then changes.
template <class Options, class Change>
ZooCase entry(const std::string& name, const Change& change) {
  Options o;
  o.width = 16;
  o.layers = 2;
  o.dropout = 0.1;
  if constexpr (requires { o.heads = std::int64_t{4}; }) o.heads = 4;
  if constexpr (requires { o.attention_dropout; }) o.attention_dropout = 0.2;
  o.node = CategoricalOptions{};
  if constexpr (requires { o.edge; }) o.edge = TypeOptions{};
  o.head = HalvingHeadOptions{1, "mean"};
  ZooCase c{name, {}};
  change(o);
  if (const auto* h = std::get_if<HalvingHeadOptions>(&o.head)) c.node_level = h->pool == "none";
  c.options = o;
  return c;
}

inline ZooCase numbered(ZooCase c) {
  c.numbered = true;
  return c;
}

inline std::vector<ZooCase> cases() {
  LinearEncoderOptions walk;
  walk.dim = 4;
  DeepSetEncoderOptions set;
  set.dim = 4;
  EigenvectorEncoderOptions vectors;
  vectors.dim = 16;
  EmbeddingEncoderOptions roles;
  roles.dim = 16;
  roles.count = 6;
  const HalvingHeadOptions nodes{1, "none"};
  return {
      entry<GpsOptions>("gps",
                        [&](GpsOptions& o) {
                          o.encoders = {walk, set};
                        }),
      entry<GpsOptions>("gps_nodes",
                        [&](GpsOptions& o) {
                          o.local = "gated_gcn";
                          o.head = nodes;
                        }),
      entry<GpsOptions>("gps_performer", [&](GpsOptions& o) { o.global = "performer"; }),
      entry<GpsOptions>("gps_deep_sets", [&](GpsOptions& o) { o.global = "deep_sets"; }),
      entry<GpsOptions>("gps_biased",
                        [&](GpsOptions& o) {
                          o.local = "none";
                          o.global = "biased";
                          o.bias.emplace();
                        }),
      numbered(entry<GpsOptions>("gps_bigbird",
                                 [&](GpsOptions& o) {
                                   o.global = "bigbird";
                                   o.bigbird = nn::BigBirdOptions{
                                       .window = 1, .random = 2, .global = 1, .seed = 5};
                                 })),
      entry<GpsOptions>("gps_bigbird_all_pairs",
                        [&](GpsOptions& o) {
                          o.global = "bigbird";
                          o.bigbird = nn::BigBirdOptions{.window = 300};
                        }),
      entry<GpsOptions>("gps_gcn", [&](GpsOptions& o) { o.local = "gcn"; }),
      entry<GpsOptions>("gps_gin",
                        [&](GpsOptions& o) {
                          o.local = "gin";
                          o.activation = "gelu";
                        }),
      entry<GpsOptions>("gps_genconv",
                        [&](GpsOptions& o) {
                          o.local = "genconv";
                          o.head = MlpHeadOptions{2, "max"};
                        }),
      entry<GpsOptions>("gps_pna", [&](GpsOptions& o) { o.local = "pna"; }),
      entry<GpsOptions>("gps_gates", [&](GpsOptions& o) { o.encoders = {StableEncoderOptions{}}; }),
      entry<GpsOptions>("gps_signnet",
                        [&](GpsOptions& o) {
                          SignNetEncoderOptions sign;
                          sign.dim = 4;
                          sign.phi_layers = 3;
                          sign.phi_width = sign.phi_outputs = 8;
                          o.encoders = {sign};
                        }),
      entry<GpsOptions>("gps_pair_transformer",
                        [&](GpsOptions& o) {
                          TransformerEncoderOptions pairs;
                          pairs.dim = 4;
                          pairs.feed_width = 8;
                          o.encoders = {pairs};
                        }),
      entry<GpsOptions>("gps_gat",
                        [&](GpsOptions& o) {
                          o.local = "gat";
                          o.norm = "layer";
                        }),
      entry<GraphormerOptions>("graphormer",
                               [&](GraphormerOptions& o) {
                                 o.head = HalvingHeadOptions{0, "graph_token"};
                               }),
      entry<GraphormerOptions>("graphormer_post_norm",
                               [&](GraphormerOptions& o) {
                                 o.norm = "after";
                                 o.bias.path = "single_hop";
                                 o.head = TransformHeadOptions{};
                               }),
      entry<GtOptions>("gt",
                       [&](GtOptions& o) {
                         o.encoders = {vectors, roles};
                       }),
      entry<GtOptions>("gt_nodes",
                       [&](GtOptions& o) {
                         o.edge = NoneOptions{};
                         o.norm = "layer";
                         o.head = nodes;
                       }),
      entry<GtOptions>("gt_full", [&](GtOptions& o) { o.pattern = "full"; }),
      entry<MpnnOptions>("mpnn", [&](MpnnOptions& o) { o.encoders = {walk}; }),
      entry<MpnnOptions>("mpnn_gcnii",
                         [&](MpnnOptions& o) {
                           o.local = "gcnii";
                           o.edge = NoneOptions{};
                         }),
      entry<MpnnOptions>("mpnn_wide",
                         [&](MpnnOptions& o) {
                           o.local = "residual_gine";
                           o.node = StandardisedOptions{{2.0, 1.0}, {1.5, 0.5}};
                           o.head = WideHeadOptions{2, "mean", 0.2};
                         }),
      entry<MpnnOptions>("mpnn_idle_edges",
                         [&](MpnnOptions& o) {
                           o.local = "gcn";
                           o.edge = IdleOptions{};
                         }),
      entry<MpnnOptions>("mpnn_ogb_gcn",
                         [&](MpnnOptions& o) {
                           o.local = "ogb_gcn";
                           o.edge_vectors = "own";
                           o.jump = "sum";
                         }),
      entry<MpnnOptions>("mpnn_classic",
                         [&](MpnnOptions& o) { o.virtual_node = ClassicVirtualNodeOptions{}; }),
      entry<MpnnOptions>("mpnn_heterogeneous",
                         [&](MpnnOptions& o) {
                           o.virtual_node = HeterogeneousVirtualNodeOptions{};
                           o.head = nodes;
                         }),
      entry<MpnnOptions>("mpnn_attention",
                         [&](MpnnOptions& o) { o.virtual_node = AttentionVirtualNodeOptions{}; }),
      entry<GraphTransOptions>("graphtrans",
                               [&](GraphTransOptions& o) {
                                 o.gnn.width = 12;
                                 o.gnn.layers = 2;
                                 o.gnn.jump = "concat";
                                 o.gnn.virtual_node = ClassicVirtualNodeOptions{};
                                 o.gnn.dropout = 0.2;
                                 o.encoders = {walk};
                                 o.head = HalvingHeadOptions{0, "graph_token"};
                               }),
      entry<GraphTransOptions>("graphtrans_nodes",
                               [&](GraphTransOptions& o) {
                                 o.gnn.width = 16;
                                 o.gnn.layers = 2;
                                 o.gnn.local = "ogb_gcn";
                                 o.gnn.edge_vectors = "shared";
                                 o.edge = NoneOptions{};
                                 o.norm = "before";
                                 o.head = nodes;
                               }),
      entry<SanOptions>("san", [&](SanOptions& o) { o.encoders = {walk}; }),
      entry<SanOptions>("san_edges", [&](SanOptions& o) { o.gamma = 0; }),
  };
}

inline std::shared_ptr<Model> model(const ZooCase& c, at::ScalarType type = at::kDouble) {
  Signature s = signature();
  if (c.node_level) s.level = data::Level::kNode;
  auto m = build(c.options, s);
  initialise(*m, 11);
  m->to(type);
  return m;
}

}  // namespace gtrain::models::zoo_case

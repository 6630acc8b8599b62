// Graphormer's columns of pairs and the reference's names; the preprocessing cases compare the
// former with what the authors' own code puts out.
#include <fmt/format.h>

#include <initializer_list>
#include <regex>

#include "golden/graphormer.h"
#include "gtrain/graph/hop_distance.h"
#include "gtrain/graph/shortest_path.h"

namespace gtrain::golden {
namespace {

constexpr Tolerance kExact{0.5, 0.0};  // of integers
constexpr std::int64_t kFar = 510;     // out of reach, in the authors' matrices

const std::int64_t* ids(const at::Tensor& t) { return t.const_data_ptr<std::int64_t>(); }

graph::Csr to_csr(const at::Tensor& edge_index, std::int64_t first, std::int64_t last) {
  const at::Tensor edges = edge_index.contiguous();
  const std::int64_t count = edges.size(1);
  std::vector<graph::Id> source, target;
  for (std::int64_t e = 0; e < count; ++e) {
    if (ids(edges)[e] < first || ids(edges)[e] >= last) continue;
    source.push_back(ids(edges)[e] - first);
    target.push_back(ids(edges)[count + e] - first);
  }
  return graph::build(last - first, source, target);
}

std::vector<std::uint8_t> hops_of(const graph::Csr& g) {
  std::vector<std::uint8_t> hops(static_cast<std::size_t>(g.nodes() * g.nodes()));
  graph::hop_matrix(g, 254, hops);
  return hops;
}

using Rules = std::vector<std::pair<std::regex, std::string>>;

// (pattern, replacement), applied in this order.
Rules compiled(std::initializer_list<std::pair<const char*, const char*>> texts) {
  Rules out;
  for (const auto& [from, to] : texts) out.emplace_back(std::regex(from), to);
  return out;
}

const Rules& rules() {
  static const Rules table = compiled({
      {R"(\.(graph_node_feature|graph_attn_bias)\.)", "."},
      {R"(encoder\.node_encoder\.encoder2\.[01]\.(in|out)_degree_encoder\.weight)",
       "encoding.centrality.$1_degree"},
      {R"(encoder\.node_encoder\.encoder2\.0\.spatial_encoder\.weight)", "encoding.bias.distance"},
      {R"(encoder\.node_encoder\.encoder2\.0\.edge_encoder\.weight)", "encoding.bias.edge"},
      {R"(encoder\.node_encoder\.encoder2\.0\.edge_dis_encoder\.weight)", "encoding.bias.hop"},
      {R"(encoder\.node_encoder\.encoder2\.0\.graph_token)", "encoding.bias.token"},
      {R"(encoder\.node_encoder\.encoder2\.1\.graph_token)", "encoding.token.vector"},
      {R"(\.(in|out)_degree_encoder\.weight)", ".encoding.centrality.$1_degree"},
      {R"(\.spatial_pos_encoder\.weight)", ".encoding.bias.distance"},
      {R"(\.atom_encoder\.weight)", ".features.node.table"},
      {R"(\.edge_dis_encoder\.weight)", ".encoding.bias.hop"},
      {R"(\.graph_token\.weight)", ".encoding.token.vector"},
      {R"(\.graph_token_virtual_distance\.weight)", ".encoding.bias.token"},
  });
  return table;
}

// Of whole models with layers of their own.
const Rules& model_rules() {
  static const Rules table = compiled({
      {R"(^(param|grad|final\.param)\.edge_encoder\.weight)", "$1.encoding.bias.edge"},
      {R"(encoder\.node_encoder\.encoder1\.encoder\.weight)", "features.node.column_0"},
      {R"(\.layers\.(\d+)\.)", ".layer_$1."},
      {R"((layer_\d+\.)(self_attention_norm|self_attn_layer_norm|input_norm)\.)",
       "$1norm_attention."},
      {R"((layer_\d+\.)(ffn_norm|final_layer_norm|mlp\.0)\.)", "$1norm_feed."},
      {R"((layer_\d+\.)(ffn\.layer1|fc1|mlp\.1)\.)", "$1feed_0."},
      {R"((layer_\d+\.)(ffn\.layer2|fc2|mlp\.4)\.)", "$1feed_1."},
      {R"((layer_\d+\.)(self_attention\.output_layer|self_attn\.out_proj|attention\.out_proj)\.)",
       "$1attention.out_"},
      {R"((layer_\d+\.)attention\.in_proj_)", "$1attention.in_"},
      {R"((layer_\d+\.)(self_attention\.linear_|self_attn\.)([qkv])(_proj)?\.)", "$1attention.$3_"},
      {R"(\.final_ln\.)", ".norm_out."},
      {R"(\.emb_layer_norm\.)", ".norm_in."},
      {R"(\.downstream_out_proj\.)", ".head.linear_0."},
      {R"(\.post_mp\.ln\.)", ".head.norm."},
      {R"(\.post_mp\.layer[s_]0\.)", ".head.linear_0."},
      {R"(\.post_mp\.layers\.0\.)", ".head.linear_0."},
  });
  return table;
}

std::string apply(const Rules& table, std::string name) {
  for (const auto& [from, to] : table) name = std::regex_replace(name, from, to);
  return name;
}

// Shapes of gtrain's own: one matrix per hop, q | k | v in one.
void join_parts(Case& c) {
  for (const std::string prefix : {"param.", "grad.", "final.param."}) {
    const std::string hop = prefix + "encoding.bias.hop", token = prefix + "encoding.bias.token";
    if (c.has("param.encoding.bias.distance")) {
      const std::int64_t heads = c.input("param.encoding.bias.distance", at::kFloat).size(1);
      if (c.has(hop)) {
        const std::int64_t count = c.input(hop, at::kFloat).numel() / (heads * heads);
        c.join(hop, {hop}, {count, heads, heads});
      }
      if (c.has(token)) c.join(token, {token}, {1, heads});
    }
    for (int l = 0; c.has(fmt::format("{}layer_{}.feed_0.weight", prefix, l)); ++l) {
      const std::string at = fmt::format("{}layer_{}.attention.", prefix, l);
      if (!c.has(at + "q_weight")) continue;
      const std::int64_t d = c.input(at + "q_weight", at::kFloat).size(0);
      c.join(at + "in_weight", {at + "q_weight", at + "k_weight", at + "v_weight"}, {3 * d, d});
      c.join(at + "in_bias", {at + "q_bias", at + "k_bias", at + "v_bias"}, {3 * d});
    }
  }
}

}  // namespace

void read_pairs(const Case& c, const std::string& prefix, const encode::ShortestPathOptions& paths,
                data::GraphBatch& batch) {
  const at::Tensor edges = c.input(prefix + "edge_index", at::kFloat);
  const at::Tensor ptr = c.input(prefix + "ptr", at::kFloat);
  std::vector<std::int64_t> inner, start{0};
  std::vector<std::uint8_t> hops;
  for (std::int64_t g = 0; g + 1 < ptr.numel(); ++g) {
    const graph::Csr csr = to_csr(edges, ids(ptr)[g], ids(ptr)[g + 1]);
    const auto own = hops_of(csr);
    hops.insert(hops.end(), own.begin(), own.end());
    const auto nodes = encode::shortest_path(csr, paths);
    inner.insert(inner.end(), nodes.begin(), nodes.end());
    start.push_back(static_cast<std::int64_t>(hops.size()));
  }
  batch.pair_start = at::tensor(start, at::kLong);
  batch.encoding["hop_distance"] = at::tensor(hops, at::kByte);
  batch.encoding["shortest_path"] = at::tensor(inner, at::kLong).unsqueeze(1);
  const std::int64_t n = batch.graph.numel();
  batch.encoding["degree"] =
      at::stack({at::bincount(edges[1], {}, n), at::bincount(edges[0], {}, n)}, 1);
}

std::map<std::string, std::int64_t> pair_widths() {
  return {{"degree", 2}, {"hop_distance", 1}, {"shortest_path", 1}};
}

encode::ShortestPathOptions port_paths() {
  encode::ShortestPathOptions o;
  o.ties = "search";
  return o;
}

nn::GraphBiasOptions port_bias(const Case& c) {
  const auto& config = c.info().at("config").at("posenc").at("GraphormerBias");
  const std::int64_t types = config.at("num_spatial_types").get<std::int64_t>();
  nn::GraphBiasOptions o;
  o.degrees = config.at("num_in_degrees").get<std::int64_t>();
  o.max_distance = types - 1;
  o.hops = types - 1;
  o.tables.matrices = types;
  o.token = c.has("param.encoding.token.vector");
  o.quirks = {"port_padding"};
  if (o.token) o.quirks.push_back("port_token_sort");
  return o;
}

std::string graphormer_name(const std::string& reference) {
  static const std::regex part(R"(attention\.[qkv]_)");
  const std::string name = apply(model_rules(), apply(rules(), "param." + reference));
  return std::regex_replace(name.substr(std::string("param.").size()), part, "attention.in_");
}

Case with_graphormer_names(const Case& given) {
  Case c = given;
  const bool port = c.has("param.encoder.node_encoder.encoder2.0.spatial_encoder.weight");
  const bool original = c.has("param.spatial_pos_encoder.weight") ||
                        c.has("param.graph_attn_bias.spatial_pos_encoder.weight");
  const bool gps = port && c.has("param.layers.0.ff_linear1.weight");
  if (!port && !original) return c;
  static const std::regex third(R"(encoder\.node_encoder\.encoder3\.)");
  c.rename([&](const std::string& key) {
    if (key.starts_with("mask.")) return key;  // named by case.json
    std::string name = apply(rules(), key);
    if (!gps) return apply(model_rules(), name);
    return std::regex_replace(name, third, "encoder.node_encoder.encoder2.");
  });
  join_parts(c);
  return c;
}

namespace {

// Values of the edges along a path as the authors keep them: raw + 2 + 512 c, 0 between nodes
// without an edge, -1 after the end.
at::Tensor edge_input(const Case& c, const std::string& key, const graph::Csr& csr,
                      const encode::ShortestPathOptions& options, std::int64_t hops) {
  const at::Tensor columns = c.input(key + ".input.edge_attr", at::kFloat);
  const std::int64_t n = csr.nodes(), width = columns.size(1);
  at::Tensor between = at::zeros({n, n, width}, at::kLong);
  for (graph::Id t = 0; t < n; ++t) {
    for (graph::Id e = csr.start[static_cast<std::size_t>(t)];
         e < csr.start[static_cast<std::size_t>(t) + 1]; ++e) {
      const auto slot = static_cast<std::size_t>(e);
      between[csr.source[slot]][t] = columns[csr.edge[slot]] + 2 + at::arange(width) * 512;
    }
  }
  const auto inner = encode::shortest_path(csr, options);
  const auto distance = hops_of(csr);
  at::Tensor out = at::full({n, n, hops, width}, -1, at::kLong);
  for (graph::Id i = 0; i < n; ++i) {
    for (graph::Id j = 0; j < n; ++j) {
      const std::uint8_t h = distance[static_cast<std::size_t>(i * n + j)];
      if (i == j || h == graph::kUnreachableByte) continue;
      const auto path = graph::path_nodes(inner, n, i, j);
      for (std::size_t k = 0; k + 1 < path.size() && static_cast<std::int64_t>(k) < hops; ++k) {
        out[i][j][static_cast<std::int64_t>(k)] = between[path[k]][path[k + 1]];
      }
    }
  }
  return out;
}

void compare_matrices(const Case& c, const std::string& key, const graph::Csr& csr,
                      Checker& checker) {
  const std::int64_t n = csr.nodes();
  at::Tensor hops = at::tensor(hops_of(csr), at::kLong).view({n, n});
  const at::Tensor far = hops == graph::kUnreachableByte;
  checker.close(key + ".spatial_pos", hops.masked_fill(far, kFar),
                c.expected(key + ".spatial_pos", at::kFloat), kExact);
  encode::ShortestPathOptions options;
  options.ties = "relaxation";
  const auto nodes = encode::shortest_path(csr, options);
  const at::Tensor inner = at::tensor(nodes, at::kLong).view({n, n});
  checker.close(key + ".v2.path", inner.masked_fill(far, kFar),
                c.expected(key + ".v2.path", at::kFloat), kExact);
  checker.close(key + ".v1.path", inner.clamp_min(0).masked_fill(far, kFar),
                c.expected(key + ".v1.path", at::kFloat), kExact);
}

}  // namespace

void check_graphormer_preprocess(const Case& c, Checker& checker) {
  const auto graphs = static_cast<std::int64_t>(c.info().at("graphs").at("n").size());
  for (std::int64_t g = 0; g < graphs; ++g) {
    const std::string key = fmt::format("g{}", g);
    const std::int64_t n = c.input(key + ".input.x", at::kFloat).size(0);
    const graph::Csr csr = to_csr(c.input(key + ".input.edge_index", at::kFloat), 0, n);
    compare_matrices(c, key, csr, checker);
    for (const std::string version : {".v1", ".v2"}) {
      const std::string name = key + version + ".edge_input";
      if (!c.has(name)) continue;
      encode::ShortestPathOptions options;
      options.ties = "relaxation";
      if (version == ".v1") options.quirks = {"v1_node0_path"};
      const at::Tensor want = c.expected(name, at::kFloat);
      checker.close(name, edge_input(c, key, csr, options, want.size(2)), want, kExact);
    }
  }
}

}  // namespace gtrain::golden

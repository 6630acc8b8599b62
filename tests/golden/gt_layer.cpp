// One layer of GT, with and without edge vectors, over neighbours or all pairs.
#include <regex>

#include "golden/gt.h"
#include "golden/layer_case.h"

namespace gtrain::golden {
namespace {

models::GtOptions options_of(const Case& c) {
  const auto& config = c.info().at("config");
  models::GtOptions o;
  o.width = config.at("dim").get<std::int64_t>();
  o.heads = config.at("heads").get<std::int64_t>();
  o.norm = config.at("norm") == "ln" ? "layer" : "batch";
  o.residual = config.at("residual").get<bool>();
  o.bias = config.at("use_bias").get<bool>();
  o.dropout = config.value("dropout", 0.0);
  if (c.has("input.edge_attr")) {
    o.edge = models::LinearOptions{};
  } else {
    o.edge = models::NoneOptions{};
  }
  return o;
}

void check(const Case& c, Checker& checker, at::ScalarType type) {
  models::GtLayer layer(options_of(c));
  load(c, layer, gt_name, type);
  const Batch read = read_batch(c, "input.", type);
  const data::GraphBatch& b = read.batch;
  const ops::AttentionPattern pattern = ops::neighbour_pattern(
      b.graph_start, {b.source, b.target, b.in_start, b.out_start, b.out_edge});
  const std::vector<at::Tensor> masks = read_gt_masks(c, read.permutation);
  check_layer(c, checker,
              {layer, gt_name, read, masks,
               [&](const at::Tensor& x, const at::Tensor& e, nn::Context& context) {
                 return layer.forward(x, e, pattern, context);
               }},
              type);
}

}  // namespace

std::string gt_name(const std::string& reference) {
  if (reference.ends_with("num_batches_tracked")) return {};
  static const std::vector<std::pair<std::regex, std::string>> rules = [] {
    std::vector<std::pair<std::regex, std::string>> out;
    for (const auto& [from, to] : std::vector<std::pair<const char*, const char*>>{
             {R"(^layers\.(\d+)\.)", "layer_$1."},
             {R"(attention\.Q\.)", "q."},
             {R"(attention\.K\.)", "k."},
             {R"(attention\.V\.)", "v."},
             {R"(attention\.proj_e\.)", "e."},
             {R"(\bO(_h)?\.(weight|bias)$)", "node.out.$2"},
             {R"(\bO_e\.)", "edge.out."},
             {R"((batch|layer)_norm([12])_e\.)", "edge.norm_$2."},
             {R"((batch|layer)_norm([12])(_h)?\.)", "node.norm_$2."},
             {R"(FFN_e_layer([12])\.)", "edge.feed_$1."},
             {R"(FFN(_h)?_layer([12])\.)", "node.feed_$2."},
             {R"((norm|feed)_1\.)", "$1_0."},
             {R"((norm|feed)_2\.)", "$1_1."},
             {R"(^MLP_layer\.FC_layers\.)", "head.linear_"},
             {R"(^embedding_h\.)", "features.node."},
             {R"(^embedding_e\.)", "features.edge."},
             {R"(^embedding_(lap|wl)_pos_enc\.)", "features.encoder_0.linear_0."},
         }) {
      out.emplace_back(std::regex(from), to);
    }
    return out;
  }();
  std::string name = reference;
  for (const auto& [from, to] : rules) name = std::regex_replace(name, from, to);
  return name;
}

std::vector<at::Tensor> read_gt_masks(const Case& c, const at::Tensor& permutation) {
  std::vector<at::Tensor> all;
  std::vector<at::Tensor> edges;  // of the layer being read
  std::string layer;
  const auto flush = [&] {
    all.insert(all.end(), edges.begin(), edges.end());
    edges.clear();
  };
  if (!c.info().contains("dropout_sites")) return all;
  const bool with_edges = c.has("input.edge_attr");
  for (const auto& entry : c.info().at("dropout_sites")) {
    const std::string site = entry.at("site").get<std::string>();
    if (!c.has("mask." + site)) continue;
    const std::size_t hash = site.find('#');
    if (site.substr(0, hash) != layer) flush();
    layer = site.substr(0, hash);
    const at::Tensor mask = c.input("mask." + site, at::kFloat);
    const bool of_edges = with_edges && (site.back() - '0') % 2 == 1;
    if (of_edges) {
      edges.push_back(mask.index_select(0, permutation));
    } else {
      all.push_back(mask);
    }
  }
  flush();
  return all;
}

void check_gt_layer(const Case& c, Checker& checker) {
  check(c, checker, at::kDouble);
  check(c, checker, at::kFloat);
}

}  // namespace gtrain::golden

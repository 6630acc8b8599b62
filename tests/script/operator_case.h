// A call that fits, of every operator that libgtrain_ops registers.
#pragma once

#include <ATen/ATen.h>
#include <ATen/core/List.h>
#include <ATen/core/ivalue.h>

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "support/edge_batch.h"

namespace gtrain::script {

struct OperatorCase {
  std::string name;  // without "gtrain::"
  std::vector<c10::IValue> arguments;
  // "argument:change" of the test's changes that fit, too.
  std::set<std::string> fitting = {};
  // What messages call arguments besides their names.
  std::set<std::string> aliases = {};
};

// On a batch of graphs, with numbers of a floating type.
class OperatorCases {
 public:
  OperatorCases(const support::EdgeBatch& b, at::ScalarType type) : b_(b), type_(type) {}

  std::vector<OperatorCase> all() const {
    std::vector<OperatorCase> out = of_rows();
    for (auto part : {of_graphs(), of_edges(), of_pairs()}) {
      out.insert(out.end(), part.begin(), part.end());
    }
    return out;
  }

 private:
  static constexpr std::int64_t kWidth = 20, kHeads = 2, kOut = 7;

  at::Tensor some(std::vector<std::int64_t> sizes) const {
    return at::randn(sizes, at::kDouble).to(type_);
  }
  at::Tensor positive() const { return (at::rand({kWidth}, at::kDouble) + 0.5).to(type_); }
  at::Tensor nodes(std::int64_t channels = kWidth) const { return some({b_.nodes, channels}); }
  at::Tensor edges(std::int64_t channels = kWidth) const {
    return some({b_.edges.count(), channels});
  }
  std::int64_t graphs() const { return b_.graph_start.numel() - 1; }
  std::int64_t node_pairs() const {
    const at::Tensor count = b_.graph_start.diff();
    return (count * count).sum().item<std::int64_t>();
  }
  static c10::IValue list(const std::vector<at::Tensor>& tensors) {
    return c10::List<at::Tensor>(at::ArrayRef<at::Tensor>(tensors));
  }
  c10::IValue norm() const { return list({positive(), positive(), positive(), positive()}); }
  at::Tensor edge_index() const { return at::stack({b_.edges.source, b_.edges.target}); }

  // Whatever rows they are.
  std::vector<OperatorCase> of_rows() const {
    const std::int64_t d = kWidth, o = kOut;
    const at::Tensor node = at::arange(b_.nodes), w = some({o, d}), bias = some({o});
    const at::Tensor ids = at::stack({node.remainder(3), node.remainder(4)}, 1);
    const std::set<std::string> wider{"weight:type", "bias:type", "mean:type", "variance:type"};
    return {
        {"embed", {ids, list({some({3, d}), some({4, d})}), false}, {"ids:shorter", "ids:type"}},
        {"linear", {nodes(), w, bias, "gelu"}, {"x:shorter", "x:deeper"}},
        {"linear_sum", {nodes(), w, bias, "relu", list({nodes(o)}), list({some({o})})}},
        {"feed_forward",
         {nodes(), w, bias, "gelu", some({d, o}), some({d}), list({nodes(), nodes()}),
          list({some({d}), some({d})})}},
        {"activate", {nodes(), "gelu", nodes()}},
        {"batch_norm", {nodes(), nodes(), positive(), positive(), positive(), positive()}, wider},
        {"layer_norm", {nodes(), nodes(), positive(), positive()}, wider},
    };
  }

  std::vector<OperatorCase> of_graphs() const {
    const at::Tensor& batch = b_.graph;
    return {
        {"graph_norm",
         {nodes(), nodes(), positive(), positive(), batch},
         {"weight:type", "bias:type"}},
        {"varlen_attention",
         {nodes(3 * kWidth), batch, kHeads, some({node_pairs(), kHeads})},
         {"qkv:type", "bias:type"}},
        {"linear_attention",
         {nodes(3 * kWidth), some({6, kWidth / kHeads}), batch, kHeads, true},
         {"projection:shorter", "projection:type", "qkv:type"}},
        {"bigbird_pattern", {batch, 1, 2, 1, 5}, {"batch:shorter"}},
        {"sparse_attention",
         {nodes(3 * kWidth), list({at::arange(b_.nodes + 1), at::arange(b_.nodes).to(at::kInt)}),
          kHeads},
         {"qkv:type"},
         {"row_start", "column"}},
        {"reduce", {nodes(), batch, graphs(), "max"}, {"x:narrower", "x:nested", "x:type"}},
        {"softmax", {nodes(), batch, graphs()}, {"x:narrower", "x:nested", "x:type"}},
    };
  }

  std::vector<OperatorCase> of_edges() const {
    const at::Tensor &source = b_.edges.source, &target = b_.edges.target;
    const std::int64_t d = kWidth;
    const std::set<std::string> names{"edge_index"};
    return {
        {"sort_edges",
         {edge_index().flip(1), edges(2), b_.nodes},
         {"edge_attr:narrower", "edge_attr:type", "edge_attr:number"}},
        {"encoding",
         {edge_index().flip(1), b_.graph, R"({"name":"random_walk","steps":3})"},
         {"edge_index:narrower"},
         {"edge list"}},
        {"edge_attention",
         {nodes(), nodes(), nodes(), edges(), source, target, kHeads, 5.0, 1e-6, true, 0.0},
         {},
         names},
        {"gine", {nodes(), edges(), source, target}, {}, names},
        {"gated_gcn", {nodes(4 * d), edges(), source, target}, {}, names},
        {"gated_layer",
         {nodes(), edges(), list({some({4 * d, d}), some({4 * d}), some({d, d}), some({d})}),
          norm(), norm(), "relu", source, target},
         {"norm_x:type", "norm_e:type"},
         names},
        {"aggregate",
         {nodes(), some({b_.nodes}), some({b_.edges.count()}), source, target},
         {"x:narrower"},
         names},
    };
  }

  // Of nodes of a graph.
  std::vector<OperatorCase> of_pairs() const {
    const std::int64_t pairs = node_pairs();
    return {
        {"other_pairs", {b_.edges.source, b_.edges.target, b_.graph}, {}, {"edge_index"}},
        {"path_sum",
         {at::arange(pairs).remainder(3), at::full({pairs}, -1, at::kLong),
          at::arange(pairs).remainder(4), some({3, 4, kHeads}), b_.graph, 5},
         {"table:shorter", "table:narrower", "table:type"}},
    };
  }

  const support::EdgeBatch& b_;
  at::ScalarType type_;
};

}  // namespace gtrain::script

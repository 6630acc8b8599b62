#include "gtrain/script/library.h"

#include <ATen/ATen.h>
#include <ATen/Version.h>
#include <torch/csrc/autograd/autograd_not_implemented_fallback.h>
#include <torch/library.h>
#include <torch/version.h>

#include <optional>
#include <utility>

#include "gtrain/base/torch_release.h"
#include "gtrain/script/encoding.h"
#include "gtrain/script/layer.h"
#include "gtrain/script/packed.h"
#include "gtrain/script/pair.h"
#include "gtrain/script/thread.h"

namespace gtrain::script {
namespace {

// Empty: this process has the build's release of libtorch.
const std::string& version_problem() {
  static const std::string problem = [] {
    const std::string found = base::torch_version_in(at::show_config());
    if (found.empty() || base::same_torch_release(found, TORCH_VERSION)) return std::string();
    return "libgtrain_ops was built with torch " TORCH_VERSION "; this process has torch " + found +
           " (install that version, build gtrain with this one, or export without --fused)";
  }();
  return problem;
}

// An operator's kernel: `function` on the library's threads, without recording a derivative.
template <auto function>
struct Kernel;
template <class Result, class... Arguments, Result (*function)(Arguments...)>
struct Kernel<function> {
  static Result call(Arguments... arguments) {
    TORCH_CHECK(version_problem().empty(), version_problem());
    const at::NoGradGuard guard;
    std::optional<Result> out;
    run([&] { out.emplace(function(std::forward<Arguments>(arguments)...)); });
    return std::move(*out);
  }
};

struct Operator {
  std::string schema;
  torch::CppFunction (*kernel)();
};

template <auto function>
Operator entry(const char* schema) {
  return {schema, [] { return torch::CppFunction(&Kernel<function>::call); }};
}

const std::vector<Operator>& operators() {
  static const std::vector<Operator> table{
      entry<&sort_edges>(
          "sort_edges(Tensor edge_index, Tensor edge_attr, int nodes) -> (Tensor, Tensor)"),
      entry<&encoding>("encoding(Tensor edge_index, Tensor batch, str options) -> Tensor[]"),
      entry<&embed>("embed(Tensor ids, Tensor[] tables, bool clamp) -> Tensor"),
      entry<&linear>(
          "linear(Tensor x, Tensor weight, Tensor? bias, str activation=\"none\") -> Tensor"),
      entry<&linear_sum>("linear_sum(Tensor x, Tensor weight, Tensor? bias, str activation, "
                         "Tensor[] terms, Tensor[] scales) -> Tensor"),
      entry<&feed_forward>("feed_forward(Tensor x, Tensor weight_0, Tensor? bias_0, str "
                           "activation, Tensor weight_1, Tensor? bias_1, Tensor[] terms, Tensor[] "
                           "scales) -> Tensor"),
      entry<&activate>("activate(Tensor x, str activation, Tensor? after=None) -> Tensor"),
      entry<&batch_norm>("batch_norm(Tensor x, Tensor? residual, Tensor weight, Tensor bias, "
                         "Tensor mean, Tensor variance) -> Tensor"),
      entry<&layer_norm>(
          "layer_norm(Tensor x, Tensor? residual, Tensor weight, Tensor bias) -> Tensor"),
      entry<&graph_norm>("graph_norm(Tensor x, Tensor? residual, Tensor weight, Tensor bias, "
                         "Tensor batch) -> Tensor"),
      entry<&varlen_attention>("varlen_attention(Tensor qkv, Tensor batch, int heads, "
                               "Tensor? bias=None) -> Tensor"),
      entry<&linear_attention>("linear_attention(Tensor qkv, Tensor projection, Tensor "
                               "batch, int heads, bool padded=False) -> Tensor"),
      entry<&edge_attention>("edge_attention(Tensor q, Tensor k, Tensor v, Tensor? edge, Tensor "
                             "source, Tensor target, int heads, float clamp, float epsilon, bool "
                             "edge_output, float scale=0.) -> (Tensor, Tensor)"),
      entry<&bigbird_pattern>("bigbird_pattern(Tensor batch, int window, int random, int "
                              "global_nodes, int seed) -> Tensor[]"),
      entry<&sparse_attention>(
          "sparse_attention(Tensor qkv, Tensor[] pattern, int heads) -> Tensor"),
      entry<&other_pairs>("other_pairs(Tensor source, Tensor target, Tensor batch) -> Tensor"),
      entry<&path_sum>("path_sum(Tensor hops, Tensor inner, Tensor kind, Tensor table, Tensor "
                       "batch, int cap) -> Tensor"),
      entry<&gine>("gine(Tensor x, Tensor edge, Tensor source, Tensor target) -> Tensor"),
      entry<&gated_gcn>(
          "gated_gcn(Tensor abde, Tensor c, Tensor source, Tensor target) -> (Tensor, Tensor)"),
      entry<&gated_layer>("gated_layer(Tensor x, Tensor e, Tensor[] weights, Tensor[] norm_x, "
                          "Tensor[] norm_e, str activation, Tensor source, Tensor target) -> "
                          "(Tensor, Tensor)"),
      entry<&aggregate>("aggregate(Tensor x, Tensor self_weight, Tensor weight, Tensor source, "
                        "Tensor target) -> Tensor"),
      entry<&reduce>("reduce(Tensor x, Tensor index, int count, str kind) -> Tensor"),
      entry<&softmax>("softmax(Tensor x, Tensor index, int count) -> Tensor"),
  };
  return table;
}

std::string name_in(const std::string& schema) { return schema.substr(0, schema.find('(')); }

}  // namespace

const std::vector<std::string>& schemas() {
  static const std::vector<std::string> out = [] {
    std::vector<std::string> texts;
    for (const Operator& op : operators()) texts.push_back("gtrain::" + op.schema);
    return texts;
  }();
  return out;
}

TORCH_LIBRARY(gtrain, library) {
  if (!version_problem().empty()) TORCH_WARN(version_problem());
  for (const Operator& op : operators()) library.def(op.schema.c_str());
}

TORCH_LIBRARY_IMPL(gtrain, CPU, library) {
  for (const Operator& op : operators()) library.impl(name_in(op.schema).c_str(), op.kernel());
}

TORCH_LIBRARY_IMPL(gtrain, Autograd, library) {
  for (const Operator& op : operators()) {
    library.impl(name_in(op.schema).c_str(), torch::autograd::autogradNotImplementedFallback());
  }
}

}  // namespace gtrain::script

#include "gtrain/nn/deep_sets.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/repeat_interleave.h>
#include <ATen/ops/zeros.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include "gtrain/ops/linear.h"
#include "gtrain/ops/segment.h"

namespace gtrain::nn {
namespace {

// A reduction over the rows of each graph, and its TorchScript: both [G, D].
struct Reduce {
  std::string_view name;
  at::Tensor (*apply)(const at::Tensor& x, const at::Tensor& start);
  const char* script;
};

constexpr std::array<Reduce, 4> kReduces{{
    {"mean", ops::segment_mean, "torch.index_add(zero, 0, batch, h) / torch.clamp(count, 1)"},
    {"sum", ops::segment_sum, "torch.index_add(zero, 0, batch, h)"},
    {"max", ops::segment_max,
     "torch.scatter_reduce(zero, 0, index, h, \"amax\", include_self=False)"},
    {"min",
     [](const at::Tensor& x, const at::Tensor& start) { return -ops::segment_max(-x, start); },
     "torch.scatter_reduce(zero, 0, index, h, \"amin\", include_self=False)"},
}};

const Reduce& reduce_named(std::string_view name) {
  const auto* it = std::find_if(kReduces.begin(), kReduces.end(),
                                [&](const Reduce& reduce) { return reduce.name == name; });
  TORCH_CHECK(it != kReduces.end(), "[deep_sets] got ", name, "; expected mean, sum, max or min");
  return *it;
}

// Places by which graphs are smaller than the largest.
std::int64_t empty_places(const at::Tensor& graph_start) {
  const at::Tensor start = graph_start.cpu();
  const auto* s = start.const_data_ptr<std::int64_t>();
  const std::int64_t graphs = start.numel() - 1;
  std::int64_t most = 0;
  for (std::int64_t g = 0; g < graphs; ++g) most = std::max(most, s[g + 1] - s[g]);
  return graphs * most - s[graphs];
}

}  // namespace

void DeepSetsOptions::fields(base::FieldVisitor& f) {
  f({.key = "layers", .doc = "equivariant layers, each with its batch norm", .min = 1, .max = 64},
    layers);
  f({.key = "reduce",
     .doc = "what a node reads of its graph",
     .one_of = {"mean", "sum", "max", "min"}},
    reduce);
}

DeepSets::Equivariant::Equivariant(std::int64_t width) {
  alpha = parameter("alpha", {width, width});
  beta = parameter("beta", {width, width});
  bias = parameter("bias", {1, width});
}

at::Tensor DeepSets::Equivariant::forward(const at::Tensor& x, const at::Tensor& reduced_rows,
                                          const ops::RowIndex& graph) {
  return ops::linear(x, alpha.t(), bias.view(-1)) +
         ops::gather(ops::linear(reduced_rows, beta.t(), {}), graph);
}

std::string DeepSets::Equivariant::script() const {
  return "def forward(self, x: Tensor, reduced: Tensor, batch: Tensor) -> Tensor:\n"
         "    answer = torch.matmul(reduced, self.beta).index_select(0, batch)\n"
         "    return torch.matmul(x, self.alpha) + answer + self.bias\n";
}

std::string DeepSets::Equivariant::fused_script() const {
  return "def forward(self, x: Tensor, reduced: Tensor, batch: Tensor) -> Tensor:\n"
         "    answer = gtrain.linear(reduced, self.beta.t(), None).index_select(0, batch)\n"
         "    return gtrain.linear_sum(x, self.alpha.t(), self.bias.reshape(-1), \"none\", "
         "[answer], [])\n";
}

void DeepSets::Equivariant::initialise(base::Random& random) {
  const auto width = static_cast<double>(alpha.size(0));
  draw_uniform(alpha, std::sqrt(3 / width), random);
  draw_uniform(beta, std::sqrt(3 / width), random);
  draw_uniform(bias, 1 / std::sqrt(width), random);
}

DeepSets::DeepSets(std::int64_t width, const DeepSetsOptions& options) : options_(options) {
  reduce_named(options.reduce);
  for (std::int64_t i = 0; i < options.layers; ++i) {
    layers_.push_back(
        register_module(fmt::format("layer_{}", i), std::make_shared<Equivariant>(width)));
    norms_.push_back(
        register_module(fmt::format("norm_{}", i), std::make_shared<BatchNorm>(width)));
  }
}

at::Tensor DeepSets::forward(const GlobalInput& input, Context& context) {
  const at::Tensor& start = input.graph_start;
  const std::int64_t n = input.x.size(0), graphs = start.size(0) - 1;
  const at::Tensor all = at::arange(std::max(n, graphs), start.options());
  const ops::RowIndex graph{
      at::repeat_interleave(all.slice(0, 0, graphs), start.slice(0, 1) - start.slice(0, 0, -1)),
      start, all.slice(0, 0, n)};
  const std::int64_t padding = options_.padded && context.training ? empty_places(start) : 0;
  const Reduce& reduce = reduce_named(options_.reduce);
  at::Tensor h = input.x;
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    h = at::relu(layers_[i]->forward(h, reduce.apply(h, start), graph));
    if (padding == 0) {
      h = norms_[i]->forward(h, context);
    } else {
      const at::Tensor dense = at::cat({h, at::zeros({padding, h.size(1)}, h.options())});
      h = norms_[i]->forward(dense, context).slice(0, 0, n);
    }
  }
  return h;
}

std::string DeepSets::script() const {
  std::string text =
      "def forward(self, x: Tensor, batch: Tensor, groups: List[Tensor], bias: List[Tensor]) -> "
      "Tensor:\n"
      "    graphs = int(batch[-1]) + 1 if batch.numel() > 0 else 0\n"
      "    zero = torch.zeros([graphs, x.size(1)], dtype=x.dtype, device=x.device)\n"
      "    count = torch.bincount(batch, minlength=graphs).to(x.dtype).unsqueeze(1)\n"
      "    index = batch.unsqueeze(1).expand_as(x)\n"
      "    h = x\n";
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    text += fmt::format(
        "    reduced = {1}\n"
        "    h = torch.relu(self.layer_{0}.forward(h, reduced, batch))\n"
        "    h = self.norm_{0}.forward(h, batch)\n",
        i, reduce_named(options_.reduce).script);
  }
  return text + "    return h\n";
}

std::string DeepSets::fused_script() const {
  std::string text =
      "def forward(self, x: Tensor, batch: Tensor, groups: List[Tensor], bias: List[Tensor]) -> "
      "Tensor:\n"
      "    graphs = int(batch[-1]) + 1 if batch.numel() > 0 else 0\n"
      "    h = x\n";
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    text += fmt::format(
        "    reduced = gtrain.reduce(h, batch, graphs, \"{1}\")\n"
        "    h = gtrain.activate(self.layer_{0}.forward(h, reduced, batch), \"relu\")\n"
        "    h = self.norm_{0}.forward(h, batch)\n",
        i, options_.reduce);
  }
  return text + "    return h\n";
}

}  // namespace gtrain::nn

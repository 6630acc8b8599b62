#include "gtrain/nn/gat.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/leaky_relu.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/where.h>
#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "gtrain/ops/flop_count.h"
#include "gtrain/ops/linear.h"
#include "gtrain/ops/segment.h"

namespace gtrain::nn {
namespace {

constexpr double kSlope = 0.2;

// [1, H, C] -> [H, H C]: row h holds its vector in the channels of head h, so that one product
// gives the scores of all heads.
at::Tensor by_head(const at::Tensor& a) {
  const std::int64_t heads = a.size(1);
  return (at::eye(heads, a.options()).unsqueeze(2) * a).reshape({heads, -1});
}

}  // namespace

Gat::Gat(std::int64_t width, std::int64_t heads) {
  weight = parameter("weight", {width, width});
  edge_weight = parameter("edge_weight", {width, width});
  attend_source = parameter("attend_source", {1, heads, width / heads});
  attend_target = parameter("attend_target", {1, heads, width / heads});
  attend_edge = parameter("attend_edge", {1, heads, width / heads});
  bias = parameter("bias", {width});
}

std::pair<at::Tensor, at::Tensor> Gat::forward(const LocalInput& input, Context&) {
  const ops::FlopScope running(*this);
  const Edges& edges = input.edges;
  const at::Tensor& start = edges.in_start;
  const std::int64_t heads = attend_source.size(1), channels = attend_source.size(2);
  const at::Tensor h = ops::linear(input.x, weight, {});
  const at::Tensor scores =
      ops::linear(h, at::cat({by_head(attend_source), by_head(attend_target)}), {});
  const at::Tensor source = scores.slice(1, 0, heads), target = scores.slice(1, heads, 2 * heads);
  // a_edge · W_e e = (W_e^T a_edge) · e: H products an edge instead of D.
  const at::Tensor edge =
      ops::linear(input.e, ops::linear(by_head(attend_edge), edge_weight.t(), {}), {});

  const at::Tensor loop = (edges.source == edges.target).to(h.device()).unsqueeze(1);  // [E, 1]
  const at::Tensor count =
      ops::segment_sum(loop.logical_not().to(h.scalar_type()), start).clamp_min(1);
  const at::Tensor mean = ops::segment_sum(edge.masked_fill(loop, 0), start) / count;
  const at::Tensor own = at::leaky_relu(source + target + mean, kSlope);  // [N, H]
  const at::Tensor score =
      at::leaky_relu(
          ops::gather(target, by_target(edges)) + ops::gather(source, by_source(edges)) + edge,
          kSlope)
          .masked_fill(loop, -std::numeric_limits<double>::infinity());  // [E, H]

  const at::Tensor most = own.detach();
  const at::Tensor empty = (start.slice(0, 1) == start.slice(0, 0, -1)).to(h.device()).unsqueeze(1);
  const at::Tensor largest =
      at::where(empty, most, at::maximum(most, ops::segment_max(score.detach(), start)));
  const at::Tensor w = (score - ops::gather(largest, by_target(edges))).exp();
  const at::Tensor w_own = (own - largest).exp();
  const at::Tensor total = ops::segment_sum(w, start) + w_own;  // [N, H]
  const at::Tensor message =
      ops::gather(h, by_source(edges)).view({-1, heads, channels}) * w.unsqueeze(2);
  const at::Tensor sum =
      ops::segment_sum(message.reshape({-1, heads * channels}), start).view({-1, heads, channels}) +
      h.view({-1, heads, channels}) * w_own.unsqueeze(2);
  return {(sum / total.unsqueeze(2)).reshape({-1, heads * channels}) + bias, input.e};
}

std::string Gat::script() const {
  return fmt::format(
      "def forward(self, x: Tensor, e: Tensor, source: Tensor, target: Tensor, positions: Tensor) "
      "-> Tuple[Tensor, Tensor]:\n"
      "    h = torch.linear(x, self.weight).reshape(-1, {0}, {1})\n"
      "    source_score = torch.sum(h * self.attend_source, 2)\n"
      "    target_score = torch.sum(h * self.attend_target, 2)\n"
      "    edge = torch.linear(e, self.edge_weight).reshape(-1, {0}, {1})\n"
      "    edge_score = torch.sum(edge * self.attend_edge, 2)\n"
      "    loop = (source == target).unsqueeze(1)\n"
      "    zero = torch.zeros_like(source_score)\n"
      "    other = torch.logical_not(loop).to(x.dtype)\n"
      "    count = torch.clamp(torch.index_add(zero[:, :1], 0, target, other), 1)\n"
      "    mean = torch.index_add(zero, 0, target, edge_score * other) / count\n"
      "    own = torch.leaky_relu(source_score + target_score + mean, 0.2)\n"
      "    score = target_score.index_select(0, target) + source_score.index_select(0, source)\n"
      "    score = torch.leaky_relu(score + edge_score, 0.2)\n"
      "    score = torch.masked_fill(score, loop, float(\"-inf\"))\n"
      "    index = target.unsqueeze(1).expand_as(score)\n"
      "    largest = torch.scatter_reduce(own, 0, index, score, \"amax\", include_self=True)\n"
      "    w = torch.exp(score - largest.index_select(0, target))\n"
      "    w_own = torch.exp(own - largest)\n"
      "    total = torch.index_add(w_own, 0, target, w)\n"
      "    message = h.index_select(0, source) * w.unsqueeze(2)\n"
      "    sum = torch.index_add(h * w_own.unsqueeze(2), 0, target, message)\n"
      "    return (sum / total.unsqueeze(2)).reshape(-1, {2}) + self.bias, e\n",
      attend_source.size(1), attend_source.size(2), weight.size(0));
}

std::string Gat::fused_script() const {
  return fmt::format(
      "def by_head(self, a: Tensor) -> Tensor:\n"
      "    eye = torch.eye({0}, dtype=a.dtype).unsqueeze(2)\n"
      "    return (eye * a).reshape({0}, -1)\n"
      "def forward(self, x: Tensor, e: Tensor, source: Tensor, target: Tensor, positions: Tensor) "
      "-> Tuple[Tensor, Tensor]:\n"
      "    h = gtrain.linear(x, self.weight, None)\n"
      "    ends = torch.cat([self.by_head(self.attend_source), self.by_head(self.attend_target)])\n"
      "    scores = gtrain.linear(h, ends, None)\n"
      "    source_score = scores[:, :{0}]\n"
      "    target_score = scores[:, {0}:]\n"
      "    attend = gtrain.linear(self.by_head(self.attend_edge), self.edge_weight.t(), None)\n"
      "    edge = gtrain.linear(e, attend, None)\n"
      "    nodes = x.size(0)\n"
      "    loop = (source == target).unsqueeze(1)\n"
      "    other = torch.logical_not(loop).to(x.dtype)\n"
      "    count = torch.clamp(gtrain.reduce(other, target, nodes, \"sum\"), 1)\n"
      "    mean = gtrain.reduce(edge * other, target, nodes, \"sum\") / count\n"
      "    own = torch.leaky_relu(source_score + target_score + mean, {3:g})\n"
      "    score = target_score.index_select(0, target) + source_score.index_select(0, source)\n"
      "    score = torch.leaky_relu(score + edge, {3:g})\n"
      "    score = torch.masked_fill(score, loop, float(\"-inf\"))\n"
      "    most = gtrain.reduce(score, target, nodes, \"max\")\n"
      "    empty = (torch.bincount(target, minlength=nodes) == 0).unsqueeze(1)\n"
      "    largest = torch.where(empty, own, torch.maximum(own, most))\n"
      "    w = torch.exp(score - largest.index_select(0, target))\n"
      "    w_own = torch.exp(own - largest)\n"
      "    total = gtrain.reduce(w, target, nodes, \"sum\") + w_own\n"
      "    rows = h.reshape(-1, {0}, {1})\n"
      "    message = rows.index_select(0, source) * w.unsqueeze(2)\n"
      "    sum = gtrain.reduce(message, target, nodes, \"sum\") + rows * w_own.unsqueeze(2)\n"
      "    return (sum / total.unsqueeze(2)).reshape(-1, {2}) + self.bias, e\n",
      attend_source.size(1), attend_source.size(2), weight.size(0), kSlope);
}

void Gat::initialise(base::Random& random) {
  for (const at::Tensor& t : {weight, edge_weight, attend_source, attend_target, attend_edge}) {
    draw_uniform(t, std::sqrt(6.0 / static_cast<double>(t.size(-1) + t.size(-2))), random);
  }
  const at::NoGradGuard guard;
  bias.zero_();
}

}  // namespace gtrain::nn

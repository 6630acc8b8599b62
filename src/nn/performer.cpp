#include "gtrain/nn/performer.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "gtrain/nn/leaving.h"
#include "gtrain/ops/flop_count.h"
#include "gtrain/ops/linear.h"
#include "gtrain/ops/linear_attention.h"

namespace gtrain::nn {
namespace {

constexpr const char* kHead =
    "def forward(self, x: Tensor, batch: Tensor, groups: List[Tensor], bias: List[Tensor]) -> "
    "Tensor:\n";

// {0} heads, {1} head width, {2} width of all heads, {3} d^-1/4, {4} m^-1/2, {5} statements that
// make `length`, {6} d^-1/2 / 2, {7} what follows the attention, {8} what comes before it.
constexpr const char* kScript =
    "{8}"
    "    qkv = torch.cat([self.q.forward(x), self.k.forward(x), self.v.forward(x)], 1)\n"
    "    mixed = torch.zeros([x.size(0), {2}], dtype=x.dtype, device=x.device)\n"
    "    length = 0\n"
    "{5}"
    "    for rows in groups:\n"
    "        n = rows.size(1)\n"
    "        flat = rows.reshape(-1)\n"
    "        part = qkv.index_select(0, flat).reshape(rows.size(0), n, 3, {0}, {1})\n"
    "        part = part.permute(2, 0, 3, 1, 4)\n"
    "        uq = torch.matmul(part[0] * {3}, self.projection.t())\n"
    "        uk = torch.matmul(part[1] * {3}, self.projection.t())\n"
    "        hq = torch.sum(part[0] * part[0], 3, True) * {6}\n"
    "        hk = torch.sum(part[1] * part[1], 3, True) * {6}\n"
    "        most = torch.amax(uk, [2, 3], True)\n"
    "        if length > n:\n"
    "            most = torch.clamp(most, 0)\n"
    "        fq = (torch.exp(uq - hq - torch.amax(uq, [3], True)) + 0.0001) * {4}\n"
    "        fk = (torch.exp(uk - hk - most) + 0.0001) * {4}\n"
    "        total = torch.sum(fk, 2, True)\n"
    "        if length > n:\n"
    "            total = total + (torch.exp(-most) + 0.0001) * {4} * (length - n)\n"
    "        state = torch.matmul(fk.transpose(2, 3), part[2])\n"
    "        out = torch.matmul(fq, state) / torch.matmul(fq, total.transpose(2, 3))\n"
    "        mixed.index_copy_(0, flat, out.transpose(1, 2).reshape(-1, {2}))\n"
    "{7}";

// Padded: up to the largest graph.
constexpr const char* kLength =
    "    for rows in groups:\n"
    "        length = max(length, rows.size(1))\n";

// The rows that take part alone, by the numbers they have among themselves.
constexpr const char* kTaken =
    "    nodes = x.size(0)\n"
    "    sizes: List[int] = []\n"
    "    for rows in groups:\n"
    "        sizes.append(rows.size(1))\n"
    "    places, x = self.taking(x, x, groups, sizes, bias)\n"
    "    kept = self.staying(groups, places)\n"
    "    groups = self.regrouped(groups, places, kept, nodes)\n"
    "    x = x.index_select(0, kept)\n";

std::int64_t largest_graph(const at::Tensor& graph_start) {
  const at::Tensor start = graph_start.cpu();
  const auto* s = start.const_data_ptr<std::int64_t>();
  std::int64_t most = 0;
  for (std::int64_t g = 0; g + 1 < start.numel(); ++g) most = std::max(most, s[g + 1] - s[g]);
  return most;
}

}  // namespace

void PerformerOptions::fields(base::FieldVisitor& f) {
  f({.key = "head_width", .doc = "channels of a head, whatever the width", .min = 1, .max = 4096},
    head_width);
  f({.key = "features",
     .doc = "random features; 0: d ln d of head_width d",
     .min = 0,
     .max = 65536},
    features);
}

Performer::Performer(std::int64_t width, std::int64_t heads, double dropout,
                     const PerformerOptions& options)
    : heads_(heads), dropout_(dropout), options_(options) {
  const auto d = static_cast<double>(options.head_width);
  if (options.features == 0) {
    options_.features = std::max<std::int64_t>(1, static_cast<std::int64_t>(d * std::log(d)));
  }
  const std::int64_t inner = heads * options.head_width;
  q_ = register_module("q", std::make_shared<Linear>(width, inner, false));
  k_ = register_module("k", std::make_shared<Linear>(width, inner, false));
  v_ = register_module("v", std::make_shared<Linear>(width, inner, false));
  out_ = register_module("out", std::make_shared<Linear>(inner, width));
  projection = buffer("projection", at::zeros({options_.features, options.head_width}, at::kFloat));
}

at::Tensor Performer::forward(const GlobalInput& input, Context& context) {
  const ops::FlopScope running(*this);
  if (heads_ == 0) return at::zeros_like(input.x);
  return through_gates(input, context, [&](const GlobalInput& in) {
    const at::Tensor weight = at::cat({q_->weight, k_->weight, v_->weight});
    ops::LinearAttentionOptions linear;
    if (options_.padded) linear.padded_length = largest_graph(in.graph_start);
    const at::Tensor mixed = ops::linear_attention(ops::linear(in.x, weight, {}), projection,
                                                   in.graph_start, heads_, linear);
    const at::Tensor gated = gate_heads(mixed, in.graph_start, context);
    return drop(out_->forward(gated), dropout_, context);
  });
}

std::vector<Gated::HeadSlices> Performer::head_slices() const {
  return {{"q.weight", q_->weight, 0},
          {"k.weight", k_->weight, 0},
          {"v.weight", v_->weight, 0},
          {"out.weight", out_->weight, 1}};
}

void Performer::heads_kept(const std::vector<std::int64_t>& heads) {
  if (heads.empty()) out_->bias.set_data(out_->bias.detach().slice(0, 0, 0).clone());
  heads_ = static_cast<std::int64_t>(heads.size());
}

std::string Performer::end_script() const {
  std::string text = head_gate ? "    mixed = self.head_gate.forward(mixed)\n" : "";
  text += "    update = self.out.forward(mixed)\n";
  if (token_gate) {
    text +=
        "    update = torch.zeros([nodes, update.size(1)], dtype=x.dtype, "
        "device=x.device).index_copy(0, kept, update)\n";
  }
  return text +
         (branch_gate ? "    return self.branch_gate.forward(update)\n" : "    return update\n");
}

std::string Performer::script() const {
  if (heads_ == 0) return choice_script() + kHead + "    return torch.zeros_like(x)\n";
  const auto d = static_cast<double>(options_.head_width);
  return choice_script() + (token_gate ? leaving_methods() : "") + kHead +
         fmt::format(fmt::runtime(kScript), heads_, options_.head_width,
                     heads_ * options_.head_width, std::pow(d, -0.25),
                     1 / std::sqrt(static_cast<double>(options_.features)),
                     options_.padded ? kLength : "", 0.5 / std::sqrt(d), end_script(),
                     token_gate ? kTaken : "");
}

std::string Performer::fused_script() const {
  if (token_gate || leave_gate || heads_ == 0) return script();
  return kHead + fmt::format(
                     "    weight = torch.cat([self.q.weight, self.k.weight, self.v.weight])\n"
                     "    qkv = gtrain.linear(x, weight, None)\n"
                     "    mixed = gtrain.linear_attention(qkv, self.projection, batch, {}, {})\n"
                     "{}",
                     heads_, options_.padded ? "True" : "False", end_script());
}

void Performer::initialise(base::Random& random) {
  const at::NoGradGuard guard;
  projection.copy_(ops::orthogonal_features(options_.features, options_.head_width, random.bits()));
}

}  // namespace gtrain::nn

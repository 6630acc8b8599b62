#include "gtrain/nn/attention.h"

#include <ATen/ops/index_select.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros_like.h>
#include <fmt/format.h>

#include <cmath>

#include "gtrain/ops/flop_count.h"
#include "gtrain/ops/linear.h"
#include "gtrain/ops/reference.h"

namespace gtrain::nn {

Attention::Attention(std::int64_t width, std::int64_t heads, double dropout, bool biased)
    : heads_(heads), dropout_(dropout), biased_(biased) {
  in_weight = parameter("in_weight", {3 * width, width});
  in_bias = parameter("in_bias", {3 * width});
  out_weight = parameter("out_weight", {width, width});
  out_bias = parameter("out_bias", {width});
}

at::Tensor Attention::forward(const GlobalInput& input, Context& context) {
  const ops::FlopScope running(*this);
  if (heads_ == 0) return at::zeros_like(input.x);
  return through_gates(input, context, [&](const GlobalInput& in) {
    const at::Tensor mixed = mix(ops::linear(in.x, in_weight, in_bias), in, context);
    return ops::linear(gate_heads(mixed, in.graph_start, context), out_weight, out_bias);
  });
}

std::vector<Gated::HeadSlices> Attention::head_slices() const {
  return {
      {"in_weight", in_weight, 0, 3}, {"in_bias", in_bias, 0, 3}, {"out_weight", out_weight, 1}};
}

void Attention::heads_kept(const std::vector<std::int64_t>& heads) {
  if (heads.empty()) out_bias.set_data(out_bias.detach().slice(0, 0, 0).clone());
  heads_ = static_cast<std::int64_t>(heads.size());
  if (!biased_) return;
  const at::Tensor which = at::tensor(heads, at::kLong).to(in_weight.device());
  if (kept_.defined()) {
    kept_.set_data(kept_.index_select(0, which));
  } else {
    kept_ = buffer("kept_heads", which);
  }
}

ops::AttentionBias Attention::bias_of(const GlobalInput& input) const {
  if (!biased_) return {};
  ops::AttentionBias bias = input.bias;
  if (!kept_.defined()) return bias;
  if (bias.table.defined()) bias.table = bias.table.index_select(1, kept_);
  if (bias.pair.defined()) bias.pair = bias.pair.index_select(1, kept_);
  return bias;
}

at::Tensor Attention::mix(const at::Tensor& qkv, const GlobalInput& input, Context& context) const {
  const ops::AttentionBias bias = bias_of(input);
  const bool dropping = context.training && dropout_ > 0;
  if (const at::Tensor* mask = dropping ? context.next_mask() : nullptr) {
    return ops::reference::varlen_attention(qkv, input.graph_start, heads_, dropout_, *mask, bias);
  }
  return ops::varlen_attention(
      qkv, input.graph_start, heads_,
      {dropping ? dropout_ : 0.0, dropping ? context.next_key() : 0, bias});
}

Attention::MaskScript Attention::mask_script() const {
  if (!biased_) return {};
  return {kept_.defined() ? "bias[i].index_select(1, self.kept_heads)" : "bias[i]", ""};
}

namespace {

constexpr const char* kHead =
    "def forward(self, x: Tensor, batch: Tensor, groups: List[Tensor], bias: List[Tensor]) -> "
    "Tensor:\n";

// One mask value for each kept pair: of [n, n] or [g, H, n, n], with the kept columns [g, k].
constexpr const char* kKeptMask =
    "def kept_pairs(self, mask: Tensor, place: Tensor) -> Tensor:\n"
    "    if mask.dim() == 2:\n"
    "        return mask[place.unsqueeze(2), place.unsqueeze(1)].unsqueeze(1)\n"
    "    k = place.size(1)\n"
    "    rows = place.reshape(-1, 1, k, 1).expand(-1, mask.size(1), -1, mask.size(3))\n"
    "    columns = place.reshape(-1, 1, 1, k).expand(-1, mask.size(1), k, -1)\n"
    "    return mask.gather(2, rows).gather(3, columns)\n";

}  // namespace

std::string Attention::weights_script() const {
  const bool read =
      (token_gate && token_gate->reads_weights()) || (leave_gate && leave_gate->reads_weights());
  if (!read) return "";
  const std::int64_t width = out_weight.size(1), d = width / heads_;
  const std::string mask = mask_script().expression;
  return fmt::format(
      "def weights(self, x: Tensor, rows: Tensor, bias: List[Tensor], i: int) -> Tensor:\n"
      "    part = x.index_select(0, rows.reshape(-1))\n"
      "    part = torch.linear(part, self.in_weight[:{0}], self.in_bias[:{0}]).to(7)\n"
      "    part = part.reshape(rows.size(0), rows.size(1), 2, {1}, {2}).permute(2, 0, 3, 1, 4)\n"
      "    score = torch.matmul(part[0], part[1].transpose(2, 3)) * {3:.17g}{4}\n"
      "    return torch.nan_to_num(torch.softmax(score, -1), 0.0)\n",
      2 * width, heads_, d, 1 / std::sqrt(static_cast<double>(d)),
      mask.empty() ? "" : " + " + mask + ".to(7)");
}

std::string Attention::kept_script(const std::string& heads) const {
  const std::int64_t width = out_weight.size(1);
  const MaskScript mask = mask_script();
  const bool masked = !mask.expression.empty();
  return (masked ? kKeptMask : "") + std::string(kHead) +
         fmt::format(
             "    update = torch.zeros_like(x)\n"
             "    sizes: List[int] = []\n"
             "    for group in groups:\n"
             "        sizes.append(group.size(1))\n"
             "    places, x = self.taking(x, x, groups, sizes, bias)\n"
             "    for i in range(len(groups)):\n"
             "        rows = groups[i]\n"
             "        place = places[i]\n"
             "        flat = rows.gather(1, place).reshape(-1)\n"
             "        part = torch.linear(x.index_select(0, flat), self.in_weight, self.in_bias)\n"
             "        part = part.reshape(place.size(0), place.size(1), 3, {0}, {1})\n"
             "        part = part.permute(2, 0, 3, 1, 4)\n"
             "{2}"
             "        out = torch.scaled_dot_product_attention(part[0], part[1], part[2]{3})\n"
             "        mixed = out.transpose(1, 2).reshape(-1, {4})\n"
             "{5}"
             "        out = torch.linear(mixed, self.out_weight, self.out_bias)\n"
             "        update.index_copy_(0, flat, out)\n",
             heads_, width / heads_,
             masked ? fmt::format("        mask = self.kept_pairs({}, place)\n", mask.expression)
                    : "",
             masked ? ", mask" : "", width, heads.empty() ? "" : "    " + heads);
}

std::string Attention::script() const {
  const std::int64_t width = out_weight.size(1);
  if (heads_ == 0) return choice_script() + kHead + "    return torch.zeros_like(x)\n";
  const std::string heads = head_gate ? "    mixed = self.head_gate.forward(mixed)\n" : "";
  const std::string end =
      branch_gate ? "    return self.branch_gate.forward(update)\n" : "    return update\n";
  const MaskScript mask = mask_script();
  const std::string methods = mask.methods + weights_script() + choice_script();
  if (token_gate) return methods + kept_script(heads) + end;
  return methods + kHead +
         fmt::format(
             "    qkv = torch.linear(x, self.in_weight, self.in_bias)\n"
             "    mixed = torch.zeros([x.size(0), {2}], dtype=x.dtype, device=x.device)\n"
             "    for i in range(len(groups)):\n"
             "        rows = groups[i]\n"
             "        flat = rows.reshape(-1)\n"
             "        part = qkv.index_select(0, flat)\n"
             "        part = part.reshape(rows.size(0), rows.size(1), 3, {0}, {1})\n"
             "        part = part.permute(2, 0, 3, 1, 4)\n"
             "        out = torch.scaled_dot_product_attention(part[0], part[1], part[2]{3}{4})\n"
             "        mixed.index_copy_(0, flat, out.transpose(1, 2).reshape(-1, {2}))\n"
             "{5}"
             "    update = torch.linear(mixed, self.out_weight, self.out_bias)\n",
             heads_, width / heads_, width, mask.expression.empty() ? "" : ", ", mask.expression,
             heads) +
         end;
}

std::string Attention::mix_script() const {
  // Each head's biases stay one stretch of memory.
  const char* bias = !biased_          ? "None"
                     : kept_.defined() ? "bias[0].t().index_select(0, self.kept_heads).t()"
                                       : "bias[0]";
  return fmt::format("gtrain.varlen_attention(qkv, batch, {}, {})", heads_, bias);
}

std::string Attention::fused_script() const {
  const bool gated = token_gate || leave_gate || head_gate || branch_gate;
  if (gated || heads_ == 0) return script();
  return std::string(kHead) +
         "    qkv = gtrain.linear(x, self.in_weight, self.in_bias)\n"
         "    return gtrain.linear(" +
         mix_script() + ", self.out_weight, self.out_bias)\n";
}

void Attention::initialise(base::Random& random) {
  const double width = static_cast<double>(out_weight.size(0));
  draw_uniform(in_weight, std::sqrt(6 / (4 * width)), random);
  draw_uniform(out_weight, 1 / std::sqrt(width), random);
  const at::NoGradGuard guard;
  in_bias.zero_();
  out_bias.zero_();
}

std::string graph_groups_script() {
  return "def graph_groups(self, batch: Tensor) -> List[Tensor]:\n"
         "    groups: List[Tensor] = []\n"
         "    if batch.numel() == 0:\n"
         "        return groups\n"
         "    count = torch.bincount(batch)\n"
         "    start = torch.cumsum(count, 0) - count\n"
         "    sizes = torch._unique2(count, True, False, False)[0]\n"
         "    for i in range(sizes.numel()):\n"
         "        n = int(sizes[i])\n"
         "        if n > 0:\n"
         "            first = start[torch.nonzero(count == n).reshape(-1)]\n"
         "            rows = torch.arange(n, device=batch.device)\n"
         "            groups.append(first.unsqueeze(1) + rows.unsqueeze(0))\n"
         "    return groups\n";
}

}  // namespace gtrain::nn

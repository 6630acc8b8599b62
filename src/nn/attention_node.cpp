#include "gtrain/nn/attention_node.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>

#include "gtrain/ops/flop_count.h"
#include "gtrain/ops/linear.h"
#include "gtrain/ops/linear_attention.h"
#include "gtrain/ops/segment.h"

namespace gtrain::nn {
namespace {

constexpr double kEpsilon = 1e-4;      // FAVOR+'s, as in ops::LinearAttentionOptions
constexpr double kDenominator = 1e-6;  // of elu, whose features may all be 0

}  // namespace

AttentionNode::AttentionNode(const Options& options) : options_(options) {
  const std::int64_t d = options.width;
  TORCH_CHECK(d % options.heads == 0, "[attention_node] ", options.heads,
              " heads do not divide the width ", d);
  qkv_ = register_module("qkv", std::make_shared<Linear>(d, 3 * d));
  out_ = register_module("out", std::make_shared<Linear>(d, d));
  if (options.features == Features::kExp) {
    projection = buffer("projection", at::zeros({options.count, d / options.heads}, at::kFloat));
  }
}

template <class Top>
at::Tensor AttentionNode::random_features(const at::Tensor& x, Top top) const {
  const std::int64_t d = x.size(2);
  const double s = std::pow(static_cast<double>(d), -0.25);
  const at::Tensor u = ops::linear(x.reshape({-1, d}) * s, projection, {})
                           .view({x.size(0), x.size(1), projection.size(0)});
  const at::Tensor half = (x * x).sum(-1, true) * (s * s / 2);
  return (u - half - top(u.detach())).exp() + kEpsilon;
}

at::Tensor AttentionNode::forward(const at::Tensor& x, const ops::RowIndex& graph) {
  const ops::FlopScope running(*this);
  const std::int64_t n = x.size(0), heads = options_.heads, d = options_.width / heads;
  const at::Tensor qkv = qkv_->forward(x).view({n, 3, heads, d});
  at::Tensor q = qkv.select(1, 0), k = qkv.select(1, 1);
  if (options_.features == Features::kElu) {
    q = at::elu(q) + 1;
    k = at::elu(k) + 1;
  } else {
    q = random_features(q, [](const at::Tensor& u) { return u.amax(2, true); });
    k = random_features(k, [&](const at::Tensor& u) {
      const at::Tensor most = ops::segment_max(u.amax(2), graph.start);  // [G, H]
      return most.index_select(0, graph.index.to(most.device())).unsqueeze(2);
    });
  }
  const at::Tensor v = at::cat({qkv.select(1, 2), at::ones({n, heads, 1}, x.options())}, 2);
  const at::Tensor message = k.unsqueeze(3) * v.unsqueeze(2);  // [N, H, m, d+1]
  const at::Tensor state = ops::segment_sum(message.flatten(1), graph.start);
  const at::Tensor back = ops::gather(state, graph).view(message.sizes());
  const at::Tensor mixed = (q.unsqueeze(3) * back).sum(2);  // [N, H, d+1]
  const at::Tensor total = mixed.slice(2, d, d + 1) + floor();
  const at::Tensor attended = mixed.slice(2, 0, d) / total;
  return out_->forward(attended.flatten(1));
}

double AttentionNode::floor() const {
  return options_.features == Features::kElu ? kDenominator : 0.0;
}

namespace {

// How the features of a module's text are made: {0} d^-1/4; products and the largest number of each
// graph's rows are the form's own.
constexpr const char* kProducts =
    "    uq = torch.matmul(q * {0:.17g}, self.projection.t())\n"
    "    uk = torch.matmul(k * {0:.17g}, self.projection.t())\n"
    "    top = torch.amax(uk, [2])\n"
    "    most = torch.zeros([graphs, top.size(1)], dtype=x.dtype, device=x.device)\n"
    "    index = batch.unsqueeze(1).expand_as(top)\n"
    "    most = torch.scatter_reduce(most, 0, index, top, \"amax\", include_self=False)\n";
constexpr const char* kFusedProducts =
    "    uq = gtrain.linear(q * {0:.17g}, self.projection, None)\n"
    "    uk = gtrain.linear(k * {0:.17g}, self.projection, None)\n"
    "    most = gtrain.reduce(torch.amax(uk, [2]), batch, graphs, \"max\")\n";

constexpr const char* kState =
    "    zero = torch.zeros([graphs, {0}, message.size(2), {1} + 1], dtype=x.dtype, "
    "device=x.device)\n"
    "    state = torch.index_add(zero, 0, batch, message)\n";
constexpr const char* kFusedState = "    state = gtrain.reduce(message, batch, graphs, \"sum\")\n";

}  // namespace

std::string AttentionNode::text(const char* products, const char* state) const {
  const std::int64_t heads = options_.heads, d = options_.width / heads;
  std::string text;
  std::string features =
      "    q = torch.elu(q) + 1\n"
      "    k = torch.elu(k) + 1\n";
  if (options_.features == Features::kExp) {
    const double s = std::pow(static_cast<double>(d), -0.25);
    text = fmt::format(
        "def features(self, x: Tensor, u: Tensor, top: Tensor) -> Tensor:\n"
        "    half = (x * x).sum(-1, True) * {:.17g}\n"
        "    return torch.exp(u - half - top) + {:.17g}\n",
        s * s / 2, kEpsilon);
    features = fmt::format(fmt::runtime(products), s) +
               "    q = self.features(q, uq, torch.amax(uq, [2], True))\n"
               "    k = self.features(k, uk, most.index_select(0, batch).unsqueeze(2))\n";
  }
  return text +
         fmt::format(
             "def forward(self, x: Tensor, batch: Tensor) -> Tensor:\n"
             "    graphs = int(batch[-1]) + 1 if batch.numel() > 0 else 0\n"
             "    n = x.size(0)\n"
             "    qkv = self.qkv.forward(x).reshape(n, 3, {0}, {1})\n"
             "    q = qkv[:, 0]\n"
             "    k = qkv[:, 1]\n"
             "{2}"
             "    one = torch.ones([n, {0}, 1], dtype=x.dtype, device=x.device)\n"
             "    v = torch.cat([qkv[:, 2], one], 2)\n"
             "    message = k.unsqueeze(3) * v.unsqueeze(2)\n",
             heads, d, features) +
         fmt::format(fmt::runtime(state), heads, d) +
         fmt::format(
             "    mixed = (q.unsqueeze(3) * state.index_select(0, batch)).sum(2)\n"
             "    attended = mixed[:, :, :{0}] / (mixed[:, :, {0}:] + {1:.17g})\n"
             "    return self.out.forward(attended.flatten(1))\n",
             d, floor());
}

std::string AttentionNode::script() const { return text(kProducts, kState); }

std::string AttentionNode::fused_script() const { return text(kFusedProducts, kFusedState); }

void AttentionNode::initialise(base::Random& random) {
  if (!projection.defined()) return;
  const at::NoGradGuard guard;
  projection.copy_(ops::orthogonal_features(projection.size(0), projection.size(1), random.bits()));
}

}  // namespace gtrain::nn

#include "gtrain/sparsify/head_mask.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "gtrain/ops/segment.h"

namespace gtrain::sparsify {
namespace {

// One factor per head to each of its channels: [H] -> [1, D].
at::Tensor per_channel(const at::Tensor& factor, const at::Tensor& like) {
  const std::int64_t d = like.size(1) / factor.size(0);
  return factor.to(like.scalar_type()).view({-1, 1}).expand({-1, d}).reshape({1, -1});
}

// Per head: |sum of values · gradient| and sum of |gradient|, mean over graphs; [H] double.
std::pair<at::Tensor, at::Tensor> importance(const at::Tensor& values, const at::Tensor& gradient,
                                             const at::Tensor& graph_start, std::int64_t heads) {
  const auto per_graph = [&](const at::Tensor& x) {  // [G, H]
    const at::Tensor sum = ops::segment_sum(x, graph_start).to(at::kDouble);
    return sum.view({sum.size(0), heads, -1}).sum(2);
  };
  return {per_graph(values * gradient).abs().mean(0), per_graph(gradient.abs()).mean(0)};
}

const char* kHeadScript =
    "    d = mixed.size(1) // factor.size(0)\n"
    "    return mixed * factor.unsqueeze(1).expand(-1, d).reshape(1, -1)\n";

}  // namespace

std::int64_t kept_heads(double keep, std::int64_t heads) {
  return std::max<std::int64_t>(1, std::llround(keep * static_cast<double>(heads)));
}

HeadMask::HeadMask(std::int64_t heads, bool reference) : reference_(reference) {
  mask = buffer("mask", at::ones({heads}, at::kFloat));
  death = at::zeros({heads}, at::kDouble);
  growth = at::zeros({heads}, at::kDouble);
}

void HeadMask::measure(const at::Tensor& gated, const at::Tensor& values,
                       const at::Tensor& graph_start) {
  gated.register_hook([this, values, graph_start](const at::Tensor& gradient) {
    const auto [d, g] = importance(values, gradient, graph_start, mask.size(0));
    death += d;
    growth += g;
  });
}

at::Tensor HeadMask::through(const at::Tensor& attended, const at::Tensor& graph_start,
                             nn::Context& context) {
  if (reference_ || attended.is_meta()) return attended;
  const bool dense = mask.min().item<double>() == 1;
  const at::Tensor out = dense ? attended : attended * per_channel(mask, attended);
  if (watching_ && context.training && out.requires_grad()) {
    measure(out, attended.detach(), graph_start);
  }
  return out;
}

void HeadMask::observe(const at::Tensor& out, const at::Tensor& graph_start, nn::Context& context) {
  if (!reference_ || !watching_ || !context.training || !out.requires_grad()) return;
  measure(out, out.detach(), graph_start);
}

std::string HeadMask::script() const {
  if (reference_) {
    return "def forward(self, mixed: Tensor) -> Tensor:\n"
           "    return mixed\n";
  }
  return fmt::format(
      "def forward(self, mixed: Tensor) -> Tensor:\n"
      "    factor = self.mask.to(mixed.dtype)\n"
      "{}",
      kHeadScript);
}

std::vector<std::int64_t> HeadMask::alive() const {
  std::vector<std::int64_t> out;
  const at::Tensor m = mask.to(at::kDouble);
  for (std::int64_t h = 0; h < m.size(0); ++h) {
    if (m.const_data_ptr<double>()[h] != 0) out.push_back(h);
  }
  return out;
}

void HeadMask::change(double keep, double exchange, std::uint64_t key) {
  const std::int64_t heads = mask.size(0);
  std::vector<std::int64_t> living = alive();
  std::vector<double> d(death.const_data_ptr<double>(), death.const_data_ptr<double>() + heads);
  std::vector<double> g(growth.const_data_ptr<double>(), growth.const_data_ptr<double>() + heads);
  const bool measured = std::any_of(g.begin(), g.end(), [](double v) { return v > 0; });
  if (!measured) {
    base::Random random(key);
    for (double& v : d) v = random.uniform();
  }
  const auto kill = [&](std::int64_t count) {
    std::stable_sort(living.begin(), living.end(), [&](auto a, auto b) {
      return d[static_cast<std::size_t>(a)] < d[static_cast<std::size_t>(b)];
    });
    living.erase(living.begin(), living.begin() + count);
  };
  const auto left = static_cast<std::int64_t>(living.size());
  kill(std::max<std::int64_t>(0, left - kept_heads(keep, heads)));
  const auto now = static_cast<std::int64_t>(living.size());
  if (exchange > 0 && measured && now < heads) {
    const auto count = static_cast<std::int64_t>(std::ceil(exchange * static_cast<double>(now)));
    kill(count);
    std::vector<std::int64_t> dead;
    for (std::int64_t h = 0; h < heads; ++h) {
      if (std::find(living.begin(), living.end(), h) == living.end()) dead.push_back(h);
    }
    std::stable_sort(dead.begin(), dead.end(), [&](auto a, auto b) {
      return g[static_cast<std::size_t>(a)] > g[static_cast<std::size_t>(b)];
    });
    living.insert(living.end(), dead.begin(), dead.begin() + count);
  }
  mask.zero_();
  for (const std::int64_t h : living) mask[h].fill_(1);
  death.zero_();
  growth.zero_();
}

at::Tensor HeadConcrete::through(const at::Tensor& attended, const at::Tensor&,
                                 nn::Context& context) {
  if (!awake() && !settled()) return attended;
  return attended * per_channel(value(context), attended);
}

std::string HeadConcrete::script() const {
  return fmt::format(
      "{}def forward(self, mixed: Tensor) -> Tensor:\n"
      "    factor = self.value().to(mixed.dtype)\n"
      "{}",
      HardConcrete::script(), kHeadScript);
}

at::Tensor head_rows(const at::Tensor& mask, std::int64_t width) {
  const std::int64_t d = width / mask.size(0);
  return mask.view({-1, 1}).expand({-1, d}).reshape({-1, 1}).repeat({3, 1});
}

}  // namespace gtrain::sparsify

#include "gtrain/train/optimizer.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <oneapi/tbb/parallel_for.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "gtrain/base/error.h"
#include "optimizer_kernel.h"

namespace gtrain::train {
namespace {

constexpr std::int64_t kChunk = 16384;  // elements of one task; part of the norm's bits
constexpr double kClipEps = 1e-6;       // as torch.nn.utils.clip_grad_norm_

// Pairwise sum in an order that depends on the length alone.
double tree_sum(const double* v, std::size_t n) {
  if (n <= 8) {
    double s = 0.0;
    for (std::size_t i = 0; i < n; ++i) s += v[i];
    return s;
  }
  return tree_sum(v, n / 2) + tree_sum(v + n / 2, n - n / 2);
}

template <class F>
void by_type(const at::Tensor& t, F f) {
  if (t.scalar_type() == at::kDouble) {
    f(double{});
  } else {
    f(float{});
  }
}

}  // namespace

Optimizer::Optimizer(const OptimizerOptions& options, std::vector<Parameter> parameters)
    : parameters_(std::move(parameters)), steps_(parameters_.size(), 0) {
  std::visit(
      [&](const auto& o) {
        using T = std::decay_t<decltype(o)>;
        weight_decay_ = o.weight_decay;
        if constexpr (requires { o.eps; }) eps_ = o.eps;
        if constexpr (requires { o.beta1; }) {
          beta1_ = o.beta1;
          beta2_ = o.beta2;
          slots_ = {"first", "second"};
          if (o.amsgrad) slots_.push_back("largest");
          rule_ = std::is_same_v<T, AdamWOptions> ? Rule::kAdamW : Rule::kAdam;
        } else if constexpr (requires { o.momentum; }) {
          momentum_ = o.momentum;
          slots_ = {"momentum"};
          rule_ = Rule::kSgd;
        } else {
          slots_ = {"sum"};
          rule_ = Rule::kAdagrad;
        }
      },
      options);
  moments_.resize(slots_.size());
  for (std::size_t p = 0; p < parameters_.size(); ++p) {
    const at::Tensor& value = parameters_[p].value;
    TORCH_CHECK(value.is_contiguous() && value.device().is_cpu() &&
                    (value.scalar_type() == at::kFloat || value.scalar_type() == at::kDouble),
                "[optimizer] parameter ", parameters_[p].name,
                " must be contiguous float32 or float64 on the CPU");
    for (auto& slot : moments_) slot.push_back(at::zeros_like(value.detach()));
    for (std::int64_t b = 0; b < value.numel(); b += kChunk) {
      chunks_.push_back({p, b, std::min(b + kChunk, value.numel())});
    }
  }
  gradients_.resize(parameters_.size());
  rates_.resize(parameters_.size());
  sums_.resize(chunks_.size());
}

double Optimizer::gradient_norm() {
  tbb::parallel_for(std::size_t{0}, chunks_.size(), [&](std::size_t c) {
    const Chunk& chunk = chunks_[c];
    const at::Tensor& g = gradients_[chunk.parameter];
    sums_[c] = 0.0;
    if (!g.defined()) return;
    by_type(g, [&](auto zero) {
      const auto* data = g.const_data_ptr<decltype(zero)>();
      sums_[c] = kernel::sum_of_squares(data + chunk.begin, chunk.end - chunk.begin);
    });
  });
  return std::sqrt(tree_sum(sums_.data(), sums_.size()));
}

Optimizer::Rates Optimizer::rates(std::size_t parameter, double lr, double clip) const {
  Rates r;
  const auto t = static_cast<double>(steps_[parameter]);
  r.clip = clip;
  r.first = steps_[parameter] == 1;
  if (rule_ == Rule::kAdamW) {
    r.shrink = 1.0 - lr * weight_decay_;
  } else {
    r.decay = weight_decay_;
  }
  const bool adam = rule_ == Rule::kAdamW || rule_ == Rule::kAdam;
  r.step = adam ? lr / (1.0 - std::pow(beta1_, t)) : lr;
  r.root = adam ? std::sqrt(1.0 - std::pow(beta2_, t)) : 1.0;
  return r;
}

template <class T>
void Optimizer::update(const Chunk& chunk, const at::Tensor& gradient, const Rates& r) {
  const std::int64_t n = chunk.end - chunk.begin;
  const auto at = [&](const at::Tensor& t) { return t.mutable_data_ptr<T>() + chunk.begin; };
  T* p = at(parameters_[chunk.parameter].value);
  const T* g = gradient.const_data_ptr<T>() + chunk.begin;
  T* first = at(moments_[0][chunk.parameter]);
  const auto c = [](double v) { return static_cast<T>(v); };
  switch (rule_) {
    case Rule::kAdamW:
    case Rule::kAdam: {
      const kernel::Adam<T> k{c(r.clip), c(r.decay),      c(r.shrink), c(r.step), c(1.0 - beta1_),
                              c(beta2_), c(1.0 - beta2_), c(r.root),   c(eps_)};
      T* second = at(moments_[1][chunk.parameter]);
      T* largest = moments_.size() > 2 ? at(moments_[2][chunk.parameter]) : nullptr;
      kernel::adam(k, n, g, p, first, second, largest);
      break;
    }
    case Rule::kSgd:
      kernel::sgd({c(r.clip), c(r.decay), c(r.step), c(r.first ? 0.0 : momentum_)}, n, g, p, first);
      break;
    case Rule::kAdagrad:
      kernel::adagrad({c(r.clip), c(r.decay), c(r.step), c(eps_)}, n, g, p, first);
      break;
  }
}

double Optimizer::step(double lr, double clip_norm) {
  for (std::size_t p = 0; p < parameters_.size(); ++p) {
    const at::Tensor& g = parameters_[p].value.grad();
    gradients_[p] = g.defined() ? g.contiguous() : at::Tensor();
  }
  const double norm = gradient_norm();
  if (std::isfinite(norm)) {
    const double clip = clip_norm > 0.0 ? std::min(1.0, clip_norm / (norm + kClipEps)) : 1.0;
    for (std::size_t p = 0; p < parameters_.size(); ++p) {
      if (!gradients_[p].defined()) continue;
      ++steps_[p];
      rates_[p] = rates(p, lr, clip);
    }
    tbb::parallel_for(std::size_t{0}, chunks_.size(), [&](std::size_t c) {
      const Chunk& chunk = chunks_[c];
      const at::Tensor& g = gradients_[chunk.parameter];
      if (!g.defined()) return;
      by_type(g, [&](auto zero) { update<decltype(zero)>(chunk, g, rates_[chunk.parameter]); });
    });
  }
  for (at::Tensor& g : gradients_) g.reset();  // zero_grad frees them
  return norm;
}

void Optimizer::zero_grad() {
  for (Parameter& p : parameters_) p.value.mutable_grad().reset();
}

std::string Optimizer::worst_gradient() const {
  std::string worst = "none";
  double largest = -1.0;
  for (const Parameter& p : parameters_) {
    if (!p.value.grad().defined() || p.value.numel() == 0) continue;
    const double m = p.value.grad().abs().max().item<double>();
    if (!std::isfinite(m)) return fmt::format("{} (gradient {})", p.name, m);
    if (m > largest) {
      largest = m;
      worst = fmt::format("{} (largest gradient {:.3g})", p.name, m);
    }
  }
  return worst;
}

std::map<std::string, at::Tensor> Optimizer::state() const {
  std::map<std::string, at::Tensor> out;
  for (std::size_t p = 0; p < parameters_.size(); ++p) {
    for (std::size_t s = 0; s < slots_.size(); ++s) {
      out[parameters_[p].name + "." + slots_[s]] = moments_[s][p];
    }
    out[parameters_[p].name + ".step"] = at::scalar_tensor(steps_[p], at::kLong);
  }
  return out;
}

void Optimizer::load_state(const std::map<std::string, at::Tensor>& state) {
  const auto find = [&](const std::string& name, at::IntArrayRef shape) {
    const auto it = state.find(name);
    if (it == state.end() || it->second.sizes() != shape) {
      throw base::DataError(fmt::format("optimizer state: {} {}", name,
                                        it == state.end() ? "is missing" : "has another shape"));
    }
    return it->second;
  };
  for (std::size_t p = 0; p < parameters_.size(); ++p) {
    const std::string& name = parameters_[p].name;
    for (std::size_t s = 0; s < slots_.size(); ++s) {
      moments_[s][p].copy_(find(name + "." + slots_[s], parameters_[p].value.sizes()));
    }
    steps_[p] = find(name + ".step", {}).item<std::int64_t>();
  }
}

}  // namespace gtrain::train

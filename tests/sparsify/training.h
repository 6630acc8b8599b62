// SmallNet trained under rules, for tests of what drives them.
#pragma once

#include <ATen/ATen.h>

#include <map>
#include <memory>
#include <string>

#include "gtrain/sparsify/plan.h"
#include "gtrain/sparsify/sparsity.h"
#include "sparsify/small_net.h"

namespace gtrain::sparsify {

// Plain training with momentum, a step at a time.
class Training {
 public:
  explicit Training(const Options& options, Clock clock = {4, 40, 7}) {
    attach(net, options);
    initialise_gates();
    sparsity = std::make_unique<Sparsity>(net, options, clock);
    for (const auto& p : net.named_parameters()) {
      momentum[p.key()] = at::zeros_like(p.value().detach());
    }
  }

  void step() {
    sparsity->begin(updates);
    nn::Context context = support::context(true, 100 + static_cast<std::uint64_t>(updates));
    at::Tensor loss = (net.forward(x, start, context) - y).pow(2).mean();
    const at::Tensor extra = sparsity->penalty();
    if (extra.defined()) loss = loss + extra;
    for (auto& p : net.parameters()) p.mutable_grad().reset();
    loss.backward();
    sparsity->before_update(updates);
    {
      const at::NoGradGuard guard;
      for (auto& p : net.named_parameters()) {
        if (!p.value().grad().defined()) continue;
        if (only_gates) {
          if (p.key().find("_gate") != std::string::npos) adapt(p.key(), p.value());
          continue;
        }
        at::Tensor& m = momentum[p.key()];
        m.mul_(0.9).add_(p.value().grad());
        p.value().mul_(1 - decay).add_(m, -0.01);
      }
    }
    ++updates;
    sparsity->after_update(updates, [this](const std::string& name) {
      return std::vector<at::Tensor>{momentum.at(name)};
    });
  }

  std::map<std::string, at::Tensor> everything() {
    std::map<std::string, at::Tensor> out;
    for (const auto& p : net.named_parameters()) out[p.key()] = p.value().detach();
    for (const auto& b : net.named_buffers()) out[b.key()] = b.value();
    for (const auto& [name, t] : momentum) out["momentum." + name] = t;
    return out;
  }

  SmallNet net;
  std::unique_ptr<Sparsity> sparsity;
  std::map<std::string, at::Tensor> momentum;
  std::int64_t updates = 0;
  double decay = 0;
  bool only_gates = false;

  // The net as it is now is what shall be learned.
  void aim_at_itself() {
    const at::NoGradGuard guard;
    nn::Context evaluation = support::context(false);
    y = net.forward(x, start, evaluation);
  }

 private:
  void initialise_gates() {
    net.apply([](const std::string& path, torch::nn::Module& m) {
      if (path.find("_gate") == std::string::npos) return;
      base::Random random(stream_of(path));
      if (auto* layer = dynamic_cast<nn::Layer*>(&m)) layer->initialise(random);
    });
  }
  // Adam's update without its first steps' correction.
  void adapt(const std::string& name, at::Tensor& value) {
    at::Tensor &m = momentum[name], &v = second[name];
    if (!v.defined()) v = at::zeros_like(value.detach());
    m.mul_(0.9).add_(value.grad(), 0.1);
    v.mul_(0.99).addcmul_(value.grad(), value.grad(), 0.01);
    value.addcdiv_(m, v.sqrt() + 1e-8, -1e-3);
  }
  std::map<std::string, at::Tensor> second;
  at::Tensor start = at::tensor({0, 5, 6, 12}, at::kLong);
  at::Tensor x = at::arange(96, at::kFloat).sin().view({12, 8});
  at::Tensor y = at::tensor({1.0, -1.0, 0.5}, at::kFloat).view({3, 1});
};

template <class R>
Options during(R rule, double keep, std::int64_t first, std::int64_t last, std::int64_t every = 2) {
  rule.timing.start = first;
  rule.timing.end = last;
  rule.timing.every = every;
  return one_rule(rule, keep);
}

}  // namespace gtrain::sparsify

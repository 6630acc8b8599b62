#include <ATen/ATen.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "driver.h"
#include "gtrain/base/random.h"
#include "gtrain/sparsify/plan.h"
#include "zero_weight.h"

namespace gtrain::sparsify {
namespace {

class WeightDriver final : public Driver {
 public:
  WeightDriver(torch::nn::Module& model, const WeightRule& rule, const Clock& clock)
      : Driver(rule.timing, clock),
        rule_(rule),
        reference_(has_quirk(rule.quirks, "reference")),
        mask_(rule, weight_groups(model, rule)) {
    authors_ = {schedule_.start(), schedule_.end(), schedule_.every(), schedule_.target()};
    total_ = clock.updates;
    if (!grows()) return;  // what is 0 in a pruned model may then stay so
    std::vector<std::string> names;
    for (const WeightMask::Group& g : mask_.groups()) {
      for (const Masked& part : g.parts) names.push_back(part.name);
    }
    detail::put_zeros_back(model, names);
  }

  void before_update(std::int64_t updates) override {
    dense_.clear();
    const bool wanted = exchanges(updates + 1) && rule_.method != "set";
    for (WeightMask::Group& g : mask_.groups()) {
      for (Masked& part : g.parts) {
        at::Tensor& gradient = part.value.mutable_grad();
        if (!gradient.defined()) continue;
        if (wanted) dense_[part.name] = gradient.clone();
        gradient.mul_(part.mask);
      }
    }
  }

  void after_update(std::int64_t updates, const Slots& slots) override {
    const bool due = reference_ ? authors_.due(updates) : schedule_.due(updates);
    mask_.apply();
    if (due) change(updates, slots);
    dense_.clear();
  }

  std::map<std::string, at::Tensor> state() const override {
    std::map<std::string, at::Tensor> out;
    for (const WeightMask::Group& g : mask_.groups()) {
      for (const Masked& part : g.parts) out[part.name + ".mask"] = part.mask;
    }
    return out;
  }

 private:
  // A hidden unit whose row and column are 0 has no gradient: it could not come back.
  bool grows() const { return rule_.method != "gmp" && rule_.structure != "neuron"; }

  bool exchanges(std::int64_t updates) const {
    if (!grows()) return false;
    if (reference_) return authors_.due(updates);
    return schedule_.due(updates) && updates > 0 && share(updates) > 0;
  }

  double share(std::int64_t updates) const {
    return schedule_.exchange(rule_.regrow, updates, rule_.method == "rigl" ? 0 : kLastShare);
  }

  void change(std::int64_t updates, const Slots& slots) {
    const WeightMask::Gradient gradient = [this](const std::string& name) {
      const auto it = dense_.find(name);
      return it == dense_.end() ? at::Tensor() : it->second;
    };
    if (reference_) {
      mask_.prune_as_reference(authors_.density(updates));
      clear(slots);
      const std::int64_t total = std::max(total_, schedule_.end());
      mask_.exchange_as_reference(cosine_share(rule_.regrow, updates, total), gradient);
      clear(slots);
      return;
    }
    const bool fixed = rule_.method == "set" || rule_.method == "rigl";
    if (fixed && updates == schedule_.start()) {
      mask_.draw(schedule_.target(), key(0));
    } else if (!fixed) {
      mask_.prune(schedule_.keep(updates));
    }
    clear(slots);
    if (!exchanges(updates) || (fixed && updates == schedule_.start())) return;
    mask_.exchange(share(updates), gradient, key(updates));
    clear(slots);
  }

  // Dead weights have no optimizer state, so that those regrown begin without.
  void clear(const Slots& slots) {
    const at::NoGradGuard guard;
    for (WeightMask::Group& g : mask_.groups()) {
      for (Masked& part : g.parts) {
        for (at::Tensor& slot : slots(part.name)) slot.mul_(part.mask);
      }
    }
  }

  std::uint64_t key(std::int64_t updates) const {
    return base::key(seed_, base::Purpose::kInit, stream_of("sparsify.weights"), updates);
  }

  WeightRule rule_;
  bool reference_;
  WeightMask mask_;
  ReferencePruning authors_{};
  std::int64_t total_ = 0;
  std::map<std::string, at::Tensor> dense_;  // gradients before they were masked
};

}  // namespace

std::unique_ptr<Driver> drive(torch::nn::Module& model, const WeightRule& rule,
                              const Clock& clock) {
  return std::make_unique<WeightDriver>(model, rule, clock);
}

}  // namespace gtrain::sparsify

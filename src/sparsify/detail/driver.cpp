#include "driver.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "gtrain/base/random.h"
#include "gtrain/sparsify/branch_drop.h"
#include "gtrain/sparsify/head_mask.h"
#include "gtrain/sparsify/plan.h"
#include "gtrain/sparsify/token_gate.h"

namespace gtrain::sparsify {
namespace {

class TokenDriver final : public Driver {
 public:
  TokenDriver(torch::nn::Module& model, const TokenRule& rule, const Clock& clock)
      : Driver(rule.timing, clock) {
    for (const Site& site : sites(model)) {
      gates_.push_back(dynamic_cast<TokenSelection*>(site.gated->token_gate.get()));
    }
  }
  void begin(std::int64_t updates) override { set(updates); }
  // What is saved and evaluated after an update has the share that update leads to.
  void after_update(std::int64_t updates, const Slots&) override { set(updates); }

 private:
  void set(std::int64_t updates) {
    for (TokenSelection* gate : gates_) gate->set_keep(schedule_.keep(updates));
  }
  std::vector<TokenSelection*> gates_;
};

class HeadDriver final : public Driver {
 public:
  HeadDriver(torch::nn::Module& model, const HeadRule& rule, const Clock& clock)
      : Driver(rule.timing, clock), rule_(rule) {
    for (const Site& site : sites(model)) {
      auto* gate = dynamic_cast<HeadMask*>(site.gated->head_gate.get());
      if (gate == nullptr) continue;
      Head head{site.path, gate, {}};
      if (gate->reference()) head.weight = dynamic_cast<nn::Attention&>(*site.module).in_weight;
      heads_.push_back(head);
    }
  }

  void begin(std::int64_t updates) override {
    // Nothing measured before `start - every` can matter; what follows the end cannot, either.
    const bool on = updates + schedule_.every() >= schedule_.start() && !schedule_.settled(updates);
    for (const Head& head : heads_) head.gate->watch(on);
  }

  void before_update(std::int64_t) override {
    for (const Head& head : heads_) {
      if (!head.weight.defined() || !head.weight.grad().defined()) continue;
      head.weight.mutable_grad().mul_(rows(head));
    }
  }

  void after_update(std::int64_t updates, const Slots& slots) override {
    if (schedule_.due(updates)) {
      const bool fixed = rule_.method == "static";
      const double keep = fixed ? schedule_.target() : schedule_.keep(updates);
      const double exchange = schedule_.settled(updates) ? 0 : rule_.exchange;
      for (const Head& head : heads_) {
        head.gate->change(keep, exchange,
                          base::key(seed_, base::Purpose::kInit, stream_of(head.path), updates));
      }
    }
    const at::NoGradGuard guard;
    for (Head& head : heads_) {
      if (!head.weight.defined()) continue;
      const at::Tensor lives = rows(head);
      head.weight.mul_(lives);
      for (at::Tensor& slot : slots(head.path + ".in_weight")) slot.mul_(lives);
    }
  }

  std::map<std::string, at::Tensor> state() const override {
    std::map<std::string, at::Tensor> out;
    for (const Head& head : heads_) {
      out[head.path + ".death"] = head.gate->death;
      out[head.path + ".growth"] = head.gate->growth;
    }
    return out;
  }

 private:
  struct Head {
    std::string path;
    HeadMask* gate;
    at::Tensor weight;  // in_weight, where dead heads are zero rows of it
  };
  static at::Tensor rows(const Head& head) {
    return head_rows(head.gate->mask, head.weight.size(1)).to(head.weight.scalar_type());
  }
  HeadRule rule_;
  std::vector<Head> heads_;
};

// Hard-concrete gates of a rule, of which a share stays open in each group when they settle.
class ConcreteDriver final : public Driver {
 public:
  // A group is one attention's heads, or all branches of the model.
  using Group = std::vector<HardConcrete*>;
  ConcreteDriver(const Timing& timing, const Clock& clock, double penalty,
                 std::vector<Group> groups)
      : Driver(timing, clock), penalty_(penalty), groups_(std::move(groups)) {}

  void begin(std::int64_t updates) override {
    learning_ = updates >= schedule_.start() && !schedule_.settled(updates);
    if (!learning_) return;
    for_each([](HardConcrete& gate) {
      if (!gate.awake()) gate.wake();
    });
  }

  at::Tensor penalty() const override {
    if (!learning_) return {};
    std::vector<at::Tensor> open;
    for (const Group& group : groups_) {
      for (const HardConcrete* gate : group) open.push_back(gate->expected());
    }
    const at::Tensor all = at::cat(open);
    const double wanted = schedule_.target() * static_cast<double>(all.numel());
    return at::relu(all.sum() - wanted) * penalty_;
  }

  void after_update(std::int64_t updates, const Slots&) override {
    if (updates != schedule_.end()) return;
    for (const Group& group : groups_) settle(group);
  }

 private:
  template <class Do>
  void for_each(Do act) const {
    for (const Group& group : groups_) {
      for (HardConcrete* gate : group) act(*gate);
    }
  }

  void settle(const Group& group) const {
    std::vector<at::Tensor> parts;
    for (const HardConcrete* gate : group) parts.push_back(gate->log_alpha.detach());
    const at::Tensor all = at::cat(parts).to(at::kDouble).contiguous();
    const auto* a = all.const_data_ptr<double>();
    std::vector<std::int64_t> order(static_cast<std::size_t>(all.numel()));
    std::iota(order.begin(), order.end(), std::int64_t{0});
    std::stable_sort(order.begin(), order.end(), [&](auto i, auto j) { return a[i] > a[j]; });
    order.resize(static_cast<std::size_t>(kept_heads(schedule_.target(), all.numel())));
    const at::Tensor open = at::zeros({all.numel()}, at::kFloat);
    for (const std::int64_t i : order) open[i].fill_(1);
    std::int64_t first = 0;
    for (HardConcrete* gate : group) {
      const std::int64_t count = gate->open.numel();
      gate->settle(open.slice(0, first, first + count));
      first += count;
    }
  }

  double penalty_;
  std::vector<Group> groups_;
  bool learning_ = false;
};

class DropDriver final : public Driver {
 public:
  DropDriver(torch::nn::Module& model, const LayerRule& rule, const Clock& clock)
      : Driver(rule.timing, clock) {
    for (const Branch& branch : branches(model, rule)) {
      gates_.push_back(dynamic_cast<BranchDrop*>(branch.gate->get()));
    }
  }
  void begin(std::int64_t updates) override {
    for (BranchDrop* gate : gates_) gate->set_keep(schedule_.keep(updates));
  }

 private:
  std::vector<BranchDrop*> gates_;
};

}  // namespace

std::unique_ptr<Driver> drive(torch::nn::Module& model, const TokenRule& rule, const Clock& clock) {
  return std::make_unique<TokenDriver>(model, rule, clock);
}

std::unique_ptr<Driver> drive(torch::nn::Module& model, const HeadRule& rule, const Clock& clock) {
  if (rule.method != "l0") return std::make_unique<HeadDriver>(model, rule, clock);
  std::vector<ConcreteDriver::Group> groups;
  for (const Site& site : sites(model)) {
    auto* gate = dynamic_cast<HeadConcrete*>(site.gated->head_gate.get());
    if (gate != nullptr) groups.push_back({gate});
  }
  return std::make_unique<ConcreteDriver>(rule.timing, clock, rule.penalty, std::move(groups));
}

std::unique_ptr<Driver> drive(torch::nn::Module& model, const LayerRule& rule, const Clock& clock) {
  if (rule.method == "drop_path") return std::make_unique<DropDriver>(model, rule, clock);
  ConcreteDriver::Group group;
  for (const Branch& branch : branches(model, rule)) {
    group.push_back(dynamic_cast<BranchConcrete*>(branch.gate->get()));
  }
  return std::make_unique<ConcreteDriver>(rule.timing, clock, rule.penalty,
                                          std::vector<ConcreteDriver::Group>{std::move(group)});
}

}  // namespace gtrain::sparsify

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "driver.h"
#include "gtrain/sparsify/branch_drop.h"
#include "gtrain/sparsify/head_mask.h"
#include "gtrain/sparsify/plan.h"
#include "sleeping_heads.h"

namespace gtrain::sparsify {
namespace {

// Hard-concrete gates of a rule, of which a share stays open in each group when they settle.
class ConcreteDriver final : public Driver {
 public:
  // One attention's heads, or all branches of the model.
  struct Group {
    std::vector<HardConcrete*> gates;
    std::vector<detail::SleepingHeads> heads = {};  // of the one gate, where they are heads
    std::vector<double> costs = {};                 // one for each; empty: all alike
  };
  ConcreteDriver(const Timing& timing, const Clock& clock, double penalty,
                 std::vector<Group> groups)
      : Driver(timing, clock), penalty_(penalty), groups_(std::move(groups)) {}

  void begin(std::int64_t updates) override {
    learning_ = updates >= schedule_.start() && !schedule_.settled(updates);
    if (!learning_) return;
    for (const Group& group : groups_) {
      for (HardConcrete* gate : group.gates) {
        if (!gate->awake()) gate->wake();
      }
    }
  }

  at::Tensor penalty() const override {
    if (!learning_) return {};
    at::Tensor sum;
    for (const Group& group : groups_) {
      std::vector<at::Tensor> open;
      for (const HardConcrete* gate : group.gates) open.push_back(gate->expected());
      at::Tensor all = at::cat(open);
      auto wanted = static_cast<double>(kept_heads(schedule_.target(), all.numel()));
      if (!group.costs.empty()) {  // in the place of one a gate, so that they sum up to as many
        const at::Tensor costs = at::tensor(group.costs, at::kDouble);
        all = all * (costs / costs.mean()).to(all.scalar_type());
        wanted = schedule_.target() * static_cast<double>(all.numel());
      }
      const at::Tensor off = at::abs(all.sum() - wanted);
      sum = sum.defined() ? sum + off : off;
    }
    return sum * penalty_;
  }

  void before_update(std::int64_t) override {
    for (Group& group : groups_) {
      for (detail::SleepingHeads& heads : group.heads) {
        if (group.gates[0]->settled()) heads.before_update(group.gates[0]->open);
      }
    }
  }

  void restore(const Slots& slots) override {
    for (Group& group : groups_) {
      for (detail::SleepingHeads& heads : group.heads) heads.after_update(slots);
    }
  }

  void after_update(std::int64_t updates, const Slots& slots) override {
    if (updates != schedule_.end()) return;
    for (const Group& group : groups_) {
      settle(group);
      for (const detail::SleepingHeads& heads : group.heads) {
        heads.clear(group.gates[0]->open, slots);
      }
    }
  }

 private:
  void settle(const Group& group) const {
    std::vector<at::Tensor> parts;
    for (const HardConcrete* gate : group.gates) parts.push_back(gate->log_alpha.detach());
    const at::Tensor all = at::cat(parts).to(at::kDouble).contiguous();
    const auto* a = all.const_data_ptr<double>();
    std::vector<std::int64_t> order(static_cast<std::size_t>(all.numel()));
    std::iota(order.begin(), order.end(), std::int64_t{0});
    std::stable_sort(order.begin(), order.end(), [&](auto i, auto j) { return a[i] > a[j]; });
    if (group.costs.empty()) {
      order.resize(static_cast<std::size_t>(kept_heads(schedule_.target(), all.numel())));
    } else {
      keep_affordable(order, group.costs);
    }
    const at::Tensor open = at::zeros({all.numel()}, at::kFloat);
    for (const std::int64_t i : order) open[i].fill_(1);
    std::int64_t first = 0;
    for (HardConcrete* gate : group.gates) {
      const std::int64_t count = gate->open.numel();
      gate->settle(open.slice(0, first, first + count));
      first += count;
    }
  }

  // Of `order`, from the first on, those that still fit; at least the cheapest.
  void keep_affordable(std::vector<std::int64_t>& order, const std::vector<double>& costs) const {
    const auto cost = [&](std::int64_t i) { return costs[static_cast<std::size_t>(i)]; };
    const std::int64_t cheapest = *std::min_element(
        order.begin(), order.end(), [&](auto i, auto j) { return cost(i) < cost(j); });
    double left = schedule_.target() * std::accumulate(costs.begin(), costs.end(), 0.0);
    std::erase_if(order, [&](std::int64_t i) {
      const bool fits = cost(i) <= left;
      if (fits) left -= cost(i);
      return !fits;
    });
    if (order.empty()) order.push_back(cheapest);
  }

  double penalty_;
  std::vector<Group> groups_;
  bool learning_ = false;
};

}  // namespace

std::unique_ptr<Driver> learn(torch::nn::Module& model, const HeadRule& rule, const Clock& clock) {
  std::vector<ConcreteDriver::Group> groups;
  for (const Site& site : sites(model)) {
    auto* gate = dynamic_cast<HeadConcrete*>(site.gated->head_gate.get());
    if (gate != nullptr) groups.push_back({{gate}, {detail::SleepingHeads(site)}});
  }
  return std::make_unique<ConcreteDriver>(rule.timing, clock, rule.penalty, std::move(groups));
}

// A closed branch is not computed: its weights get no gradient, and so no update.
std::unique_ptr<Driver> learn(torch::nn::Module& model, const LayerRule& rule, const Clock& clock) {
  std::vector<ConcreteDriver::Group> groups(1);
  groups[0].costs = rule.costs;
  for (const Branch& branch : branches(model, rule)) {
    groups[0].gates.push_back(dynamic_cast<BranchConcrete*>(branch.gate->get()));
  }
  return std::make_unique<ConcreteDriver>(rule.timing, clock, rule.penalty, std::move(groups));
}

}  // namespace gtrain::sparsify

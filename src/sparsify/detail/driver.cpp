#include "driver.h"

#include <ATen/ATen.h>

#include <vector>

#include "gtrain/sparsify/branch_drop.h"
#include "gtrain/sparsify/plan.h"
#include "gtrain/sparsify/token_gate.h"

namespace gtrain::sparsify {
namespace {

class TokenDriver final : public Driver {
 public:
  TokenDriver(torch::nn::Module& model, const TokenRule& rule, const Clock& clock)
      : Driver(rule.timing, clock) {
    for (const Site& site : sites(model)) {
      for (const auto& gate : {site.gated->token_gate, site.gated->leave_gate}) {
        if (auto* own = dynamic_cast<TokenSelection*>(gate.get())) gates_.push_back(own);
      }
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

std::unique_ptr<Driver> drive(torch::nn::Module& model, const LayerRule& rule, const Clock& clock) {
  if (rule.method == "learned") return learn(model, rule, clock);
  return std::make_unique<DropDriver>(model, rule, clock);
}

}  // namespace gtrain::sparsify

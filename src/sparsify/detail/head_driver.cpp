#include <ATen/ATen.h>

#include <vector>

#include "driver.h"
#include "gtrain/base/random.h"
#include "gtrain/nn/attention.h"
#include "gtrain/sparsify/head_mask.h"
#include "gtrain/sparsify/plan.h"
#include "sleeping_heads.h"

namespace gtrain::sparsify {
namespace {

class HeadDriver final : public Driver {
 public:
  HeadDriver(torch::nn::Module& model, const HeadRule& rule, const Clock& clock)
      : Driver(rule.timing, clock), rule_(rule) {
    for (const Site& site : sites(model)) {
      auto* gate = dynamic_cast<HeadMask*>(site.gated->head_gate.get());
      if (gate == nullptr) continue;
      Head head{site.path, gate, detail::SleepingHeads(site), {}};
      if (gate->reference()) head.weight = dynamic_cast<nn::Attention&>(*site.module).in_weight;
      heads_.push_back(std::move(head));
    }
  }

  void begin(std::int64_t updates) override {
    // Nothing measured before `start - every` can matter; what follows the end cannot, either.
    const bool on = updates + schedule_.every() >= schedule_.start() && !schedule_.settled(updates);
    for (const Head& head : heads_) head.gate->watch(on);
  }

  void before_update(std::int64_t) override {
    for (Head& head : heads_) {
      if (!head.weight.defined()) {
        head.sleeping.before_update(head.gate->mask);
      } else if (head.weight.grad().defined()) {
        head.weight.mutable_grad().mul_(rows(head));
      }
    }
  }

  void restore(const Slots& slots) override {
    for (Head& head : heads_) {
      if (!head.weight.defined()) head.sleeping.after_update(slots);
    }
  }

  void after_update(std::int64_t updates, const Slots& slots) override {
    for (Head& head : heads_) {
      if (schedule_.due(updates)) change(head, updates);
      follow(head, slots);
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
    detail::SleepingHeads sleeping;
    at::Tensor weight;  // in_weight, where dead heads are zero rows of it
  };

  void change(const Head& head, std::int64_t updates) const {
    const bool fixed = rule_.method == "static";
    const double keep = fixed ? schedule_.target() : schedule_.keep(updates);
    const double exchange = schedule_.settled(updates) ? 0 : rule_.exchange;
    head.gate->change(keep, exchange,
                      base::key(seed_, base::Purpose::kInit, stream_of(head.path), updates));
  }

  static void follow(Head& head, const Slots& slots) {
    if (!head.weight.defined()) return head.sleeping.clear(head.gate->mask, slots);
    const at::NoGradGuard guard;
    const at::Tensor lives = rows(head);
    head.weight.mul_(lives);
    for (at::Tensor& slot : slots(head.path + ".in_weight")) slot.mul_(lives);
  }

  static at::Tensor rows(const Head& head) {
    return head_rows(head.gate->mask, head.weight.size(1)).to(head.weight.scalar_type());
  }
  HeadRule rule_;
  std::vector<Head> heads_;
};

}  // namespace

std::unique_ptr<Driver> drive(torch::nn::Module& model, const HeadRule& rule, const Clock& clock) {
  if (rule.method == "l0") return learn(model, rule, clock);
  return std::make_unique<HeadDriver>(model, rule, clock);
}

}  // namespace gtrain::sparsify

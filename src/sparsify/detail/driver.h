// What drives one rule while a model trains. Times are in updates made.
#pragma once

#include <torch/nn/module.h>

#include <map>
#include <memory>
#include <string>

#include "gtrain/sparsify/schedule.h"
#include "gtrain/sparsify/sparsity.h"

namespace gtrain::sparsify {

class Driver {
 public:
  Driver(const Timing& timing, const Clock& clock)
      : schedule_(timing, clock.updates_per_epoch), seed_(clock.seed) {}
  virtual ~Driver() = default;

  virtual void begin(std::int64_t /*updates*/) {}
  virtual at::Tensor penalty() const { return {}; }
  virtual void before_update(std::int64_t /*updates*/) {}
  // Undoes what the optimizer has done to parts that sleep; of all rules first.
  virtual void restore(const Slots& /*slots*/) {}
  // Also once with 0 updates, before the first batch.
  virtual void after_update(std::int64_t /*updates*/, const Slots& /*slots*/) {}
  // Tensors that change in place; saved and restored by name.
  virtual std::map<std::string, at::Tensor> state() const { return {}; }

  const Schedule& schedule() const { return schedule_; }

 protected:
  Schedule schedule_;
  std::uint64_t seed_;
};

std::unique_ptr<Driver> drive(torch::nn::Module& model, const TokenRule& rule, const Clock& clock);
std::unique_ptr<Driver> drive(torch::nn::Module& model, const HeadRule& rule, const Clock& clock);
std::unique_ptr<Driver> drive(torch::nn::Module& model, const LayerRule& rule, const Clock& clock);
std::unique_ptr<Driver> drive(torch::nn::Module& model, const WeightRule& rule, const Clock& clock);
// Of rules with hard-concrete gates.
std::unique_ptr<Driver> learn(torch::nn::Module& model, const HeadRule& rule, const Clock& clock);
std::unique_ptr<Driver> learn(torch::nn::Module& model, const LayerRule& rule, const Clock& clock);

}  // namespace gtrain::sparsify

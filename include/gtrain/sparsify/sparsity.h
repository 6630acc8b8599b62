// Sparsification of one training run: drives the gates and masks of a model as the rules say. The
// trainer calls it around its steps and knows nothing else of it:
//
//   begin(updates)           before a batch: gates get their share, what is due before the first
//                            update happens
//   penalty()                beside the loss
//   before_update(updates)   gradients are complete: those of dead weights become 0
//   after_update(updates)    the optimizer has moved the weights: masks hold, then what is due is
//                            pruned and regrown, and the optimizer's state follows
//
// Everything is a function of the recipe, the seed and the updates made, but for masks and
// importances: state(). A run that goes on with them repeats the uninterrupted one bit for bit.
#pragma once

#include <torch/nn/module.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "gtrain/sparsify/rule.h"

namespace gtrain::sparsify {

struct Clock {
  std::int64_t updates_per_epoch = 1;
  std::int64_t updates = 0;  // of the whole run; 0: not known, nothing is checked against it
  std::uint64_t seed = 0;
};

// What the optimizer keeps of a parameter, by its name: tensors of its shape.
using Slots = std::function<std::vector<at::Tensor>(const std::string& parameter)>;

class Driver;

class Sparsity {
 public:
  // `model` has the gates of the same options (plan.h) and outlives this. Throws
  // base::RecipeError where a schedule ends after the run does.
  Sparsity(torch::nn::Module& model, const Options& options, const Clock& clock);
  ~Sparsity();

  void begin(std::int64_t updates);
  at::Tensor penalty() const;  // undefined: none
  void before_update(std::int64_t updates);
  void after_update(std::int64_t updates, const Slots& slots);

  // The updates after which the first rule begins; 0 without rules.
  std::int64_t first_start() const;

  // From these updates on the model is as sparse as the recipe wants it.
  bool settled(std::int64_t updates) const;

  std::map<std::string, at::Tensor> state() const;
  // Throws base::DataError naming what is missing or does not fit.
  void load_state(const std::map<std::string, at::Tensor>& state);

 private:
  std::vector<std::unique_ptr<Driver>> drivers_;  // one per rule
  bool begun_ = false;
};

}  // namespace gtrain::sparsify

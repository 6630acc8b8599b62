// Optimizers: AdamW, Adam, SGD with momentum and Adagrad with torch.optim's results, over a list of
// parameters in a fixed order. One step is two sweeps over all parameters together, in TBB tasks of
// fixed chunks: the global gradient norm (a fixed tree of per-chunk sums in double), then the
// clipped update. Bits do not depend on the thread count.
//
//   g <- g min(1, clip / (|g| + 1e-6)) with |g| the norm over all parameters (clip 0: none)
//   AdamW  p <- p (1 - lr wd), then Adam's update on g       (Loshchilov & Hutter 2019)
//   Adam   g += wd p; m <- b1 m + (1-b1) g; v <- b2 v + (1-b2) g²;
//          p -= lr/(1-b1^t) m / (sqrt(v)/sqrt(1-b2^t) + eps)  (Kingma & Ba 2015)
//          (amsgrad: the largest v so far in its place, Reddi et al. 2018)
//   SGD    g += wd p; b <- momentum b + g; p -= lr b
//   Adagrad g += wd p; s <- s + g²; p -= lr g / (sqrt(s) + eps)
//
// Parameters are float32 or float64, contiguous. One without a gradient is skipped, and its step
// count t stands still, as in torch. Cost: O(parameters); a step allocates nothing.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "gtrain/train/recipe.h"

namespace gtrain::train {

struct Parameter {
  std::string name;
  at::Tensor value;
};

class Optimizer {
 public:
  Optimizer(const OptimizerOptions& options, std::vector<Parameter> parameters);

  // Updates every parameter at rate `lr` and returns the gradient norm before clipping. When the
  // norm is not finite nothing is changed.
  double step(double lr, double clip_norm);

  void zero_grad();  // gradients become undefined, as with torch's set_to_none

  // The parameter whose gradient holds a non-finite value, else the one with the largest gradient.
  std::string worst_gradient() const;

  // "<parameter>.<slot>" -> tensor, and "<parameter>.step" int64 []. Loading wants exactly these
  // names and shapes; throws base::DataError naming what is missing or does not fit.
  std::map<std::string, at::Tensor> state() const;
  void load_state(const std::map<std::string, at::Tensor>& state);

  const std::vector<Parameter>& parameters() const { return parameters_; }

 private:
  enum class Rule { kAdamW, kAdam, kSgd, kAdagrad };
  struct Chunk {
    std::size_t parameter;
    std::int64_t begin, end;
  };
  struct Rates {  // the scalars of one parameter's update
    double clip = 1, decay = 0, shrink = 1, step = 0, root = 1;
    bool first = false;
  };

  double gradient_norm();
  Rates rates(std::size_t parameter, double lr, double clip) const;
  template <class T>
  void update(const Chunk& chunk, const at::Tensor& gradient, const Rates& rates);

  Rule rule_ = Rule::kAdamW;
  double weight_decay_ = 0, beta1_ = 0, beta2_ = 0, eps_ = 0, momentum_ = 0;
  std::vector<Parameter> parameters_;
  std::vector<std::string> slots_;                // "first", "second", … by rule
  std::vector<std::vector<at::Tensor>> moments_;  // [slot][parameter]
  std::vector<std::int64_t> steps_;
  std::vector<Chunk> chunks_;
  // Of the step being made; kept for their memory.
  std::vector<at::Tensor> gradients_;
  std::vector<Rates> rates_;
  std::vector<double> sums_;  // per chunk
};

}  // namespace gtrain::train

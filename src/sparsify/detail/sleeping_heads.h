// The weights of one attention's heads while some of them are dead. Their gradients are 0, but an
// optimizer would still move them, by momentum and by weight decay: from update to update they stay
// as they were and have no optimizer state, so that a head that lives again begins without.
#pragma once

#include <vector>

#include "gtrain/sparsify/plan.h"
#include "gtrain/sparsify/sparsity.h"

namespace gtrain::sparsify::detail {

class SleepingHeads {
 public:
  explicit SleepingHeads(const Site& site);

  // Around an optimizer's step; alive [H], 1 or 0.
  void before_update(const at::Tensor& alive);
  void after_update(const Slots& slots);
  // State of what is dead now, or has just died.
  void clear(const at::Tensor& alive, const Slots& slots) const;

 private:
  struct Slice {
    std::string name;  // of the parameter in the model
    at::Tensor value;
    std::int64_t dim, stacks;
  };
  static at::Tensor factor(const Slice& slice, const at::Tensor& alive);  // 1 or 0, broadcastable
  std::vector<Slice> slices_;
  at::Tensor alive_;              // undefined: all of them
  std::vector<at::Tensor> kept_;  // values before the step, a tensor a slice
};

}  // namespace gtrain::sparsify::detail

// Learned gates that can be exactly 0 or 1 and still have a gradient (Louizos et al. 2018,
// "Learning Sparse Neural Networks through L0 Regularization"):
//   training    u ~ U(0, 1), z = clamp(sigmoid((log u - log(1 - u) + a) / b) (hi - lo) + lo, 0, 1)
//   evaluation  z = clamp(sigmoid(a) (hi - lo) + lo, 0, 1)
//   P(z > 0)    = sigmoid(a - b log(-lo / hi))                    b = 2/3, lo = -0.1, hi = 1.1
// a is 100 times the parameter, whose gradient is that of a: gates have a pace of their own,
// whatever the optimizer's rate is. Once settled, each gate is 0 or 1 for good.
#pragma once

#include "gtrain/nn/layer.h"

namespace gtrain::sparsify {

class HardConcrete : public nn::Layer {
 public:
  // dormant: all gates are 1 until `wake`, and once settled `open` decides.
  explicit HardConcrete(std::int64_t count);
  std::string script() const override;  // value() -> [count]
  void initialise(base::Random& random) override;

  at::Tensor value(const nn::Context& context) const;  // [count]
  at::Tensor expected() const;                         // P(z > 0), [count]
  void wake();
  void settle(const at::Tensor& which);  // 0 or 1, [count]
  bool awake() const;
  bool settled() const;
  void set_stream(std::uint64_t stream) { stream_ = stream; }

  at::Tensor log_alpha;  // parameter [count], a / 100; a starts at 1.5: open with probability 0.96
  at::Tensor open;       // buffer [count]
  at::Tensor phase;      // buffer int64 []: 0 dormant, 1 awake, 2 settled

 private:
  at::Tensor logit() const;  // a
  std::uint64_t stream_ = 0;
};

}  // namespace gtrain::sparsify

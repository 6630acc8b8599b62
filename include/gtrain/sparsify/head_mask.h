// Attention heads that die and come back, by their importance (Liu et al. 2024). With A_h what head
// h puts out before the output projection and L the loss:
//   death   |sum over rows and channels of A_h ∂L/∂A_h|, mean over graphs      the smallest die
//   growth  sum of |∂L/∂A_h|, mean over graphs                       of the dead, the largest live
// both summed over the passes since the last change. A dead head's A_h is multiplied by 0.
//
// The authors' form (reference) takes slices of D/H channels of the output AFTER the projection for
// A_h, and sets the rows of a dead head in in_weight to 0, leaving biases and projection.
#pragma once

#include <vector>

#include "gtrain/nn/attention.h"
#include "gtrain/nn/layer.h"
#include "gtrain/nn/sparsity_gate.h"
#include "gtrain/sparsify/hard_concrete.h"

namespace gtrain::sparsify {

// max(1, round(keep H)).
std::int64_t kept_heads(double keep, std::int64_t heads);

class HeadMask final : public nn::Layer, public nn::HeadGate {
 public:
  HeadMask(std::int64_t heads, bool reference);
  at::Tensor through(const at::Tensor& attended, const at::Tensor& graph_start,
                     nn::Context& context) override;
  void observe(const at::Tensor& out, const at::Tensor& graph_start, nn::Context& context) override;
  std::string script() const override;  // forward(mixed)

  // Whether passes in training measure importance: off once nothing changes any more.
  void watch(bool on) { watching_ = on; }
  // Leaves max(1, round(keep H)) heads, then lets ceil(exchange · alive) more die and as many live
  // again. Without importance so far the choice is random, by `key`.
  void change(double keep, double exchange, std::uint64_t key);
  std::vector<std::int64_t> alive() const;
  bool reference() const { return reference_; }

  at::Tensor mask;           // buffer [H], 1 alive
  at::Tensor death, growth;  // [H] double: since the last change; saved with a run's state

 private:
  // Adds to death and growth when the gradient of `gated` comes; values: A.
  void measure(const at::Tensor& gated, const at::Tensor& values, const at::Tensor& graph_start);
  bool reference_, watching_ = false;
};

// Learned gates of heads: A_h is multiplied by a hard-concrete z_h.
class HeadConcrete final : public HardConcrete, public nn::HeadGate {
 public:
  explicit HeadConcrete(std::int64_t heads) : HardConcrete(heads) {}
  at::Tensor through(const at::Tensor& attended, const at::Tensor& graph_start,
                     nn::Context& context) override;
  std::string script() const override;  // value(), forward(mixed)
};

// The rows of in_weight [3D, D] of living heads, 1 or 0: [3D, 1].
at::Tensor head_rows(const at::Tensor& mask, std::int64_t width);

}  // namespace gtrain::sparsify

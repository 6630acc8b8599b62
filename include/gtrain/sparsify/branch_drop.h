// Residual branches that are left out.
//   BranchDrop      stochastic depth (Huang et al. 2016): in training the update of a graph is kept
//                   with probability keep and scaled by 1/keep; in evaluation it is what it is.
//                   The authors' form draws for each node.
//   BranchConcrete  a learned hard-concrete gate; closed for good, the branch is not computed.
#pragma once

#include "gtrain/nn/layer.h"
#include "gtrain/nn/sparsity_gate.h"
#include "gtrain/sparsify/hard_concrete.h"

namespace gtrain::sparsify {

class BranchDrop final : public nn::Layer, public nn::BranchGate {
 public:
  explicit BranchDrop(bool per_node) : per_node_(per_node) {}
  bool closed(const nn::Context&) const override { return false; }
  at::Tensor through(const at::Tensor& update, const at::Tensor& graph_start,
                     nn::Context& context) override;
  std::string script() const override;  // forward(update)

  void set_keep(double keep) { keep_ = keep; }
  void set_stream(std::uint64_t stream) { stream_ = stream; }

  at::Tensor bernoulli;  // for parity tests: draws [N, 1] in the place of fresh ones

 private:
  bool per_node_;
  double keep_ = 1;
  std::uint64_t stream_ = 0;
};

class BranchConcrete final : public HardConcrete, public nn::BranchGate {
 public:
  BranchConcrete() : HardConcrete(1) {}
  bool closed(const nn::Context& context) const override;
  at::Tensor through(const at::Tensor& update, const at::Tensor& graph_start,
                     nn::Context& context) override;
  std::string script() const override;  // value(), forward(update)
};

}  // namespace gtrain::sparsify

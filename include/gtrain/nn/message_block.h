// A layer of a plain message-passing network: a local branch (nn/local.h, or GCNII) and what stands
// around it.
//   h  = local(x, e) + m                  m: what a virtual node says, or 0
//   x' = [x +] Drop(act(Norm(h)))         then, with unit rows, x' / |x'|_2
// A branch with a residual of its own (gated_gcn) has its norm, activation and dropout inside; then
// x' = local(x, e) + m.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "gtrain/nn/activation.h"
#include "gtrain/nn/gcnii.h"
#include "gtrain/nn/local.h"
#include "gtrain/nn/norm.h"

namespace gtrain::nn {

struct BlockInput {
  LocalInput local;
  at::Tensor first;        // [N, D]: the node vectors before the first layer (gcnii)
  at::Tensor message;      // [N, D] or undefined
  at::Tensor graph_start;  // int64 [G+1]
};

class MessageBlock final : public Layer {
 public:
  struct Options {
    LocalOptions local;
    std::string norm = "none";  // of make_norm
    double dropout = 0.0;
    bool residual = true;
    bool activated = true;  // false: no activation after the norm
    bool unit_rows = false;
  };
  // name: of make_local, or "gcnii".
  MessageBlock(const std::string& name, const Options& options);
  std::pair<at::Tensor, at::Tensor> forward(const BlockInput& input, Context& context);
  // forward(x, first, e, source, target, batch, positions, message) -> (x', e'); an empty message
  // is none.
  std::string script() const override;
  std::string fused_script() const override;

 private:
  std::string text(const std::string& end) const;  // what follows the norm

  Options options_;
  std::shared_ptr<Local> local_;  // "local", or
  std::shared_ptr<Gcnii> gcnii_;  // "local"
  std::shared_ptr<Norm> norm_;    // "norm"; none where the branch has its own
};

}  // namespace gtrain::nn

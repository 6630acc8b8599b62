// What every layer is: a torch module whose forward takes tensors (never a GraphBatch), and which
// carries, right beside its forward, the TorchScript text of the same computation in evaluation
// mode. deploy/ composes those texts into a module that plain torch.jit.load runs; a layer is
// written once and read twice. Parameter names are the module path (`layers.0.local.mlp.0.weight`).
#pragma once

#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "gtrain/base/random.h"
#include "gtrain/ops/edge_index.h"

namespace gtrain::nn {

// What a forward needs besides tensors. One per step; layers draw their dropout keys from it in
// order of call, so that a step's masks are a function of `key` alone.
struct Context {
  bool training = false;
  std::uint64_t key = 0;  // base::key(seed, Purpose::kDropout, epoch, step, …)

  // Replays recorded keep-masks (uint8) instead of drawing, in order of call: for parity tests.
  const std::vector<at::Tensor>* masks = nullptr;
  // Replays the random signs of eigenvector columns [K] instead of drawing them.
  at::Tensor signs;
  // Adversarial perturbation [N, D] added to the node vectors before the first layer (FLAG);
  // undefined: none.
  at::Tensor perturbation;

  std::uint64_t next_key();
  const at::Tensor* next_mask();  // nullptr when not replaying

 private:
  std::uint64_t drawn_ = 0;
  std::size_t replayed_ = 0;
};

using Edges = ops::EdgeIndex;

class Layer : public torch::nn::Module {
 public:
  // TorchScript source of the module's methods, e.g. "def forward(self, x: Tensor) -> Tensor: …".
  // Children and parameters are reached as self.<registered name>.
  virtual std::string script() const = 0;

  // The same methods with the same signatures, with calls of libgtrain_ops (torch.ops.gtrain.…)
  // where those are faster: for files that are loaded beside that library.
  virtual std::string fused_script() const { return script(); }

  // Draws the layer's own parameters (children excluded) from the reference's distribution.
  virtual void initialise(base::Random&) {}

 protected:
  // Registers an uninitialised parameter or a zeroed buffer, float32.
  at::Tensor parameter(const std::string& name, std::vector<std::int64_t> shape);
  at::Tensor buffer(const std::string& name, at::Tensor value);
};

// Draws in place. Bounds and deviations are those of the reference's initialisers.
void draw_uniform(const at::Tensor& tensor, double bound, base::Random& random);
void draw_normal(const at::Tensor& tensor, double deviation, base::Random& random);

// Drop_p(x) + residual (undefined: 0) under a context: nothing in evaluation, the recorded mask
// while replaying, else a fresh key.
at::Tensor drop(const at::Tensor& x, double p, Context& context, const at::Tensor& residual = {});

}  // namespace gtrain::nn

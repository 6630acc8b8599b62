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

namespace gtrain::nn {

// What a forward needs besides tensors. One per step; layers draw their dropout keys from it in
// order of call, so that a step's masks are a function of `key` alone.
struct Context {
  bool training = false;
  std::uint64_t key = 0;  // base::key(seed, Purpose::kDropout, epoch, step, …)

  // Replays recorded keep-masks (uint8) instead of drawing, in order of call: for parity tests.
  const std::vector<at::Tensor>* masks = nullptr;

  std::uint64_t next_key();
  const at::Tensor* next_mask();  // nullptr when not replaying

 private:
  std::uint64_t drawn_ = 0;
  std::size_t replayed_ = 0;
};

// The edges of a batch as layers want them (see data/batch.h for the meaning of each tensor).
struct Edges {
  at::Tensor source, target, in_start, out_start, out_edge;
  std::int64_t nodes = 0;
  std::int64_t count() const { return source.size(0); }
};

class Layer : public torch::nn::Module {
 public:
  // TorchScript source of the module's methods, e.g. "def forward(self, x: Tensor) -> Tensor: …".
  // Children and parameters are reached as self.<registered name>.
  virtual std::string script() const = 0;
  // Children whose forward the script calls by registered name; all registered ones by default.
};

// Registers `layer` under `name` in `parent` and hands it back typed.
template <class T>
std::shared_ptr<T> add(torch::nn::Module& parent, const std::string& name, std::shared_ptr<T> layer) {
  return parent.register_module(name, std::move(layer));
}

}  // namespace gtrain::nn

// What gates and masks of a model have switched off by now, for reports: which heads, branches,
// weights and nodes go first. Reads only, but for the token gates that a TokenWatch stands before
// while it lives.
#pragma once

#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gtrain/nn/sparsity_gate.h"
#include "gtrain/sparsify/rule.h"

namespace gtrain::sparsify {

// The heads of an attention, or one residual branch.
struct Switches {
  std::string of;          // "layer_0.attention.heads", "layer_0.attention", "layer_0.feed"
  bool heads = false;      // else a branch
  std::vector<bool> open;  // per head; one of a branch
  std::vector<double> probability{};  // of learned gates to be open, as they were last; else empty
};
// Of every gate of heads, and of every branch gate that can close, in the order of the layers.
std::vector<Switches> switches(torch::nn::Module& model);

// Weights that are not 0 in a matrix that a rule on weights prunes.
struct Density {
  std::string of;  // "layer_0.feed_0.weight"
  std::int64_t living = 0, all = 0;
};
std::vector<Density> densities(torch::nn::Module& model, const Options& options);

// Listens to the gates that choose nodes, one after another as a forward passes them.
class TokenWatch {
 public:
  // Nodes that stayed at one place, ascending, numbered as in the batch without graph tokens.
  struct Choice {
    std::string of;  // "layer_0.attention"
    std::vector<std::int64_t> stayed;
    bool all = false;                       // none left; `stayed` is empty
    std::vector<std::int64_t> absent = {};  // that the model had cut off a graph before; ascending
  };

  // `model` outlives this, and gets its own gates back at the end.
  explicit TokenWatch(torch::nn::Module& model);
  ~TokenWatch();
  TokenWatch(const TokenWatch&) = delete;
  TokenWatch& operator=(const TokenWatch&) = delete;

  bool empty() const { return places_.empty(); }  // no gates
  // The choices since the last call: of one forward of graphs that begin at these nodes (int64
  // [G+1]), by place.
  std::vector<Choice> take(const at::Tensor& graph_start);

  struct Log;

 private:
  std::vector<std::pair<std::shared_ptr<nn::TokenGate>*, std::shared_ptr<nn::TokenGate>>> places_;
  std::shared_ptr<Log> log_;
};

}  // namespace gtrain::sparsify

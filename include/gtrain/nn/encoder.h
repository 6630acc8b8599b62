// Learned encoders of positional and structural columns.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gtrain/nn/layer.h"
#include "gtrain/nn/linear.h"
#include "gtrain/nn/norm.h"

namespace gtrain::nn {

// Rows [N, K] -> [N, D]: optional batch norm over the K columns, then either one linear map
// (hidden = 0) or an MLP K -> 2D -> … -> D of `hidden` linear layers, each followed by ReLU.
// RWSE's encoder in GPS is BatchNorm + linear.
class RowEncoder final : public Layer {
 public:
  RowEncoder(std::int64_t inputs, std::int64_t width, std::int64_t hidden, bool normalise);
  at::Tensor forward(const at::Tensor& x, Context& context);
  std::string script() const override;

 private:
  std::shared_ptr<BatchNorm> norm_;              // "norm"
  std::vector<std::shared_ptr<Linear>> linear_;  // "linear_<i>"
  bool relu_;
};

enum class SignFlip { kNone, kBatch, kGraph };

// LapPE's DeepSet (Rampasek et al. 2022): for node i, sum over the eigenpairs k that exist (not
// NaN) of an MLP of (v_ik, lambda_k): Linear 2 -> 2D, ReLU, (layers-2) x [2D -> 2D, ReLU], Linear
// 2D -> D, ReLU (layers = 1: Linear 2 -> D, ReLU); then `post_layers` linear+ReLU. In training one
// random sign per eigenvector column, drawn for the whole batch (kBatch) or for each graph.
class DeepSetEncoder final : public Layer {
 public:
  DeepSetEncoder(std::int64_t width, std::int64_t layers, std::int64_t post_layers, SignFlip flip);
  // values, vectors [N, K] (NaN beyond a graph's size), graph int64 [N] -> [N, D]
  at::Tensor forward(const at::Tensor& values, const at::Tensor& vectors, const at::Tensor& graph,
                     Context& context);
  std::string script() const override;

 private:
  at::Tensor signs(const at::Tensor& vectors, const at::Tensor& graph, Context& context) const;

  std::vector<std::shared_ptr<Linear>> set_, post_;  // "set_<i>", "post_<i>"
  SignFlip flip_;
};

}  // namespace gtrain::nn

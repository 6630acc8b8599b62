// Prediction heads on node rows x [N, D]: pooling per graph, then a small MLP to C outputs.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gtrain/nn/activation.h"
#include "gtrain/nn/layer.h"
#include "gtrain/nn/linear.h"

namespace gtrain::nn {

enum class Pool { kNone, kSum, kMean, kMax };
Pool pool_named(const std::string& name);  // "sum" | "mean" | "max"

class Head : public Layer {
 public:
  // x [N, D], graph_start int64 [G+1] -> [G, C], or [N, C] without pooling. Scripted forward: (x,
  // batch).
  at::Tensor forward(const at::Tensor& x, const at::Tensor& graph_start);
  std::string script() const override;

 protected:
  Head(Pool pool, Activation activation, bool unit_rows);
  void append(std::int64_t inputs, std::int64_t outputs);  // "linear_<i>"

 private:
  Pool pool_;
  Activation activation_;
  bool unit_rows_;
  std::vector<std::shared_ptr<Linear>> linear_;
};

// GraphGPS's san_graph head: D -> D/2 -> D/4 … (`layers` halvings, each with the activation) -> C.
class HalvingHead final : public Head {
 public:
  HalvingHead(std::int64_t width, std::int64_t outputs, std::int64_t layers, Pool pool,
              Activation activation);
};

// GraphGym's MLP head: layers-1 times [Linear D -> D, ReLU, rows scaled to L2 norm 1], Linear to C.
class MlpHead final : public Head {
 public:
  MlpHead(std::int64_t width, std::int64_t outputs, std::int64_t layers, Pool pool,
          Activation activation);
};

}  // namespace gtrain::nn

// Prediction heads on node rows x [N, D]: pooling per graph, nodes as they are or pairs of nodes,
// then a small MLP to C outputs.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gtrain/nn/activation.h"
#include "gtrain/nn/layer.h"
#include "gtrain/nn/linear.h"
#include "gtrain/nn/norm.h"

namespace gtrain::nn {

enum class Pool { kNone, kSum, kMean, kMax, kMin, kGraphToken };
Pool pool_named(const std::string& name);  // "sum", "mean", "max", "min", "graph_token", "none"

// What heads see of the batch beside the node rows.
struct HeadInput {
  at::Tensor graph_start;      // int64 [G+1]
  at::Tensor pair;             // int64 [P, 2] node rows: edge tasks
  Context* context = nullptr;  // for heads with dropout; nullptr: evaluation
};

class Head : public Layer {
 public:
  // x [N, D] -> [G, C], or [N, C] without pooling, or [P, C] per pair. Empty graphs pool to 0; a
  // graph token is the first row of its graph. Scripted forward: (x, batch); a head of pairs gives
  // node rows there, and scripts decode(h, pairs: int64 [2, P]) beside it.
  virtual at::Tensor forward(const at::Tensor& x, const HeadInput& input);
  std::string script() const override;
  std::string fused_script() const override;

 protected:
  Head(Pool pool, Activation activation, bool unit_rows, double dropout = 0.0);
  void append(std::int64_t inputs, std::int64_t outputs);  // "linear_<i>"
  at::Tensor layers(const at::Tensor& x, Context* context) const;
  std::string layers_script() const;  // h to h

  Pool pool_;

 private:
  Activation activation_;
  bool unit_rows_;
  double dropout_;
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

// GraphGPS's mlp_graph head: layers-1 times [Drop, Linear D -> D, the activation], Drop, Linear to
// C. Dropout falls on the pooled rows and on hidden ones, in training alone.
class WideHead final : public Head {
 public:
  struct Shape {
    std::int64_t width, outputs, layers;
  };
  WideHead(const Shape& shape, Pool pool, Activation activation, double dropout);
};

// GraphGPS's graphormer_graph head: layer norm of every node, pool, Linear to C.
class GraphormerHead final : public Head {
 public:
  GraphormerHead(std::int64_t width, std::int64_t outputs, Pool pool);
  at::Tensor forward(const at::Tensor& x, const HeadInput& input) override;
  std::string script() const override;

 private:
  std::shared_ptr<LayerNorm> norm_;  // "norm"
};

// Head of Graphormer's second version, fairseq's for masked tokens: pool, LN(activation(Linear
// D -> D)), then Linear D -> C without bias and one learned number for all C. `idle`: its code also
// holds a Linear D -> D that nothing reads; it counts as parameters and takes no gradient.
class TransformHead final : public Head {
 public:
  TransformHead(std::int64_t width, std::int64_t outputs, Pool pool, Activation activation,
                bool idle);
  at::Tensor forward(const at::Tensor& x, const HeadInput& input) override;
  std::string script() const override;
  void initialise(base::Random& random) override;

 private:
  Activation activation_;
  std::shared_ptr<Linear> transform_, out_;  // and "idle"
  std::shared_ptr<LayerNorm> norm_;
  at::Tensor offset_;  // [1], starts at 0
};

// GraphGym's inductive_edge head for pairs (u, v). kDot: MlpHead's layers with D outputs on every
// node, then h_u . h_v, one output; kConcat: the layers, 2D wide, on [x_u | x_v].
class EdgeHead final : public Head {
 public:
  enum class Decode { kDot, kConcat };
  struct Shape {
    std::int64_t width, outputs, layers;
  };
  EdgeHead(const Shape& shape, Decode decode, Activation activation);
  at::Tensor forward(const at::Tensor& x, const HeadInput& input) override;
  std::string script() const override;

 private:
  Decode decode_;
};

}  // namespace gtrain::nn

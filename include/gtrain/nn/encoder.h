// Learned encoders of positional and structural columns: columns of an encoding in, vectors out.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gtrain/nn/layer.h"
#include "gtrain/nn/linear.h"
#include "gtrain/nn/norm.h"

namespace gtrain::nn {

// What encoders see of the batch beside their columns.
struct EncoderGraph {
  at::Tensor graph;        // int64 [N]: graph of each node, ascending
  at::Tensor graph_start;  // int64 [G+1]
  Edges edges;
};

class Encoder : public Layer {
 public:
  // Columns float [N, K], NaN where a graph has none, in the order the encoder's options name them
  // -> [N, D]. Scripted forward: (columns: List[Tensor], edge_index, batch).
  virtual at::Tensor encode(const std::vector<at::Tensor>& columns, const EncoderGraph& graph,
                            Context& context) = 0;
};

// Rows [N, K] -> [N, D]: optional batch norm over the K columns, then either one linear map
// (hidden = 0) or an MLP K -> 2D -> … -> D of `hidden` linear layers, each followed by ReLU.
// RWSE's encoder in GPS is BatchNorm + linear.
class RowEncoder final : public Encoder {
 public:
  RowEncoder(std::int64_t inputs, std::int64_t width, std::int64_t hidden, bool normalise);
  at::Tensor encode(const std::vector<at::Tensor>& columns, const EncoderGraph& graph,
                    Context& context) override;
  at::Tensor forward(const at::Tensor& x, Context& context);
  std::string script() const override;

 private:
  std::shared_ptr<BatchNorm> norm_;              // "norm"
  std::vector<std::shared_ptr<Linear>> linear_;  // "linear_<i>"
  bool relu_;
};

// Random signs of eigenvector columns in training: none, one per column for the whole batch, or one
// per column and graph.
enum class SignFlip { kNone, kBatch, kGraph };

// One linear map of a node's entries of the K eigenvectors, missing ones 0: GT's Laplacian encoding
// (Dwivedi & Bresson 2021) with signs of its own, and the positions of equivariant-stable gates
// (Wang et al. 2022) without. Optional batch norm over the K columns.
class EigenvectorEncoder final : public Encoder {
 public:
  EigenvectorEncoder(std::int64_t inputs, std::int64_t width, bool normalise, SignFlip flip);
  at::Tensor encode(const std::vector<at::Tensor>& columns, const EncoderGraph& graph,
                    Context& context) override;
  std::string script() const override;

 private:
  std::shared_ptr<BatchNorm> norm_;  // "norm"
  std::shared_ptr<Linear> linear_;   // "linear_0"
  SignFlip flip_;
};

// What learns a vector for each node from its eigenpairs k (v_ik, lambda_k) that exist (not NaN):
// `sum_pairs` of them, then `post_layers` linear+ReLU of 2D channels inside. With `normalised` =
// K > 0 the pairs first pass a batch norm whose channels are the K positions, each over the entries
// and the eigenvalues of all nodes together, missing ones 0.
struct EigenpairShape {
  std::int64_t width = 8;  // D
  std::int64_t post_layers = 0;
  std::int64_t normalised = 0;
  SignFlip flip = SignFlip::kBatch;
};

class EigenpairEncoder : public Encoder {
 public:
  explicit EigenpairEncoder(const EigenpairShape& shape);
  at::Tensor encode(const std::vector<at::Tensor>& columns, const EncoderGraph& graph,
                    Context& context) override;
  // values, vectors [N, K] (NaN beyond a graph's size), graph int64 [N] -> [N, D]
  at::Tensor forward(const at::Tensor& values, const at::Tensor& vectors, const at::Tensor& graph,
                     Context& context);
  std::string script() const override;

 protected:
  // pairs [N K, 2], 0 where missing; missing bool [N, K] -> [N, D].
  virtual at::Tensor sum_pairs(const at::Tensor& pairs, const at::Tensor& missing,
                               Context& context) = 0;
  // TorchScript of `def sum_pairs(self, pairs: Tensor, missing: Tensor) -> Tensor`, pairs [N, K,
  // 2].
  virtual std::string sum_script() const = 0;

 private:
  std::shared_ptr<BatchNorm> norm_;            // "norm"
  std::vector<std::shared_ptr<Linear>> post_;  // "post_<i>"
  SignFlip flip_;
};

// LapPE's DeepSet (Rampasek et al. 2022): the sum over a node's eigenpairs of an MLP of each:
// Linear 2 -> 2D, ReLU, (layers-2) x [2D -> 2D, ReLU], Linear 2D -> D, ReLU (layers = 1: Linear
// 2 -> D, ReLU).
class DeepSetEncoder final : public EigenpairEncoder {
 public:
  DeepSetEncoder(const EigenpairShape& shape, std::int64_t layers);

 private:
  at::Tensor sum_pairs(const at::Tensor& pairs, const at::Tensor& missing,
                       Context& context) override;
  std::string sum_script() const override;

  std::vector<std::shared_ptr<Linear>> set_;  // "set_<i>"
};

}  // namespace gtrain::nn

// SignNet (Lim et al. 2022, "Sign and Basis Invariant Networks"): with eigenvectors v_1 … v_K,
//   out = rho([phi(v_k) + phi(-v_k)]_k)         model kMlp:     K columns side by side
//   out = rho(sum_k phi(v_k) + phi(-v_k))       model kDeepSet: the k that the graph has
// phi is a GIN over the graph (`phi_layers` layers h <- MLP(BatchNorm(h) + sum of in-neighbours'
// BatchNorm(h)), no norm before the first), run on every eigenvector as one channel; rho and the
// MLPs are Linear, [ReLU, BatchNorm, Linear] with `phi_width` channels inside. Signs and scales of
// the batch norms: phi(v) and phi(-v) are two passes, each with statistics of its own over the
// (node, eigenvector) pairs, and running statistics take both in turn.
//
// A missing eigenvector (NaN) is a vector of zeros to kMlp. kDeepSet leaves it out, of the norms
// too; with `padded_norm` the norms see it as zeros, as the reference code does.
// Cost: 2 phi_layers passes over N K rows of phi_width channels.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gtrain/nn/encoder.h"

namespace gtrain::nn {

// Linear, then layers-1 times ReLU, BatchNorm, Linear.
class NormMlp final : public Layer {
 public:
  struct Shape {
    std::int64_t inputs, hidden, outputs, layers;
  };
  explicit NormMlp(const Shape& shape);
  at::Tensor forward(const at::Tensor& x, Context& context);  // rows
  std::string script() const override;                        // forward(x, batch)

 private:
  std::vector<std::shared_ptr<Linear>> linear_;   // "linear_<i>"
  std::vector<std::shared_ptr<BatchNorm>> norm_;  // "norm_<i>"
};

class SignNet final : public Encoder {
 public:
  enum class Model { kMlp, kDeepSet };
  struct Shape {
    Model model = Model::kDeepSet;
    std::int64_t vectors = 8;  // K
    std::int64_t width = 16;   // of the output
    std::int64_t phi_layers = 8, phi_width = 64, phi_outputs = 64, rho_layers = 3;
    bool padded_norm = false;
  };
  explicit SignNet(const Shape& shape);
  // Reads one column: the eigenvectors [N, K].
  at::Tensor encode(const std::vector<at::Tensor>& columns, const EncoderGraph& graph,
                    Context& context) override;
  std::string script() const override;

 private:
  struct Rows;
  at::Tensor phi(const at::Tensor& v, const Rows& rows, const Edges& edges, Context& context);

  Shape shape_;
  std::vector<std::shared_ptr<NormMlp>> phi_;     // "phi_<i>"
  std::vector<std::shared_ptr<BatchNorm>> norm_;  // "norm_<i>", between phi_<i> and phi_<i+1>
  std::shared_ptr<NormMlp> rho_;                  // "rho"
};

}  // namespace gtrain::nn

// GPS (Rampasek et al. 2022, "Recipe for a General, Powerful, Scalable Graph Transformer"). Each
// layer runs a local message-passing branch and a global attention branch on the SAME input and
// sums them, then a feed-forward block; post-norm throughout:
//   X_l = Norm_l(X + Drop(MPNN(X, E)))     X_g = Norm_g(X + Drop(MHA(X)))
//   Y   = X_l + X_g                        X'  = Norm_2(Y + Drop(W_2 Drop(act(W_1 Y))))
// gated_gcn carries its own norm, activation, dropout and residual and updates E; X_l is then
// Norm_l of its output. A branch set to `none` drops out of the sum.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gtrain/base/option.h"
#include "gtrain/models/feature.h"
#include "gtrain/models/model.h"

namespace gtrain::models {

struct GpsOptions {
  static constexpr std::string_view kName = "gps";
  static constexpr std::string_view kDoc =
      "GPS (Rampasek et al. 2022): local MPNN + global attention";
  std::int64_t width = 64;
  std::int64_t layers = 5;
  std::int64_t heads = 4;
  std::string local = "gine";
  std::string global = "attention";
  std::string norm = "batch";
  std::string activation = "relu";
  double dropout = 0.0;
  double attention_dropout = 0.0;
  NodeOptions node;
  EdgeOptions edge;
  std::vector<EncoderOptions> encoders;
  HeadOptions head;
  void fields(base::FieldVisitor& f);
};

// One layer, on packed rows: x [N, D], e [E, D] (undefined without edge features).
class GpsLayer final : public nn::Layer {
 public:
  explicit GpsLayer(const GpsOptions& options);
  ~GpsLayer() override;
  // (X', E'); E' is E unless the local branch is gated_gcn.
  std::pair<at::Tensor, at::Tensor> forward(const at::Tensor& x, const at::Tensor& e,
                                            const nn::Edges& edges, const at::Tensor& graph_start,
                                            nn::Context& context);
  std::string script() const override;

 private:
  at::Tensor local(const at::Tensor& x, at::Tensor& e, const nn::Edges& edges,
                   const at::Tensor& graph_start, nn::Context& context);
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

std::shared_ptr<Model> build_model(const GpsOptions& options, const Signature& signature);

}  // namespace gtrain::models

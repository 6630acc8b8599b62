// GPS (Rampasek et al. 2022, "Recipe for a General, Powerful, Scalable Graph Transformer"). Each
// layer runs a local message-passing branch and a global attention branch on the SAME input and
// sums them, then a feed-forward block; post-norm throughout:
//   X_l = Norm_l(X + Drop(MPNN(X, E)))     X_g = Norm_g(X + Drop(MHA(X)))
//   Y   = X_l + X_g                        X'  = Norm_2(Y + Drop(W_2 Drop(act(W_1 Y))))
// gated_gcn carries its own norm, activation, dropout and residual and updates E; X_l is then
// Norm_l of its output. A branch set to `none` drops out of the sum. The local branches stand in
// nn/local.h, the global ones in nn/global.h; deep_sets in the place of attention is MPNN + virtual
// node (Cai et al. 2023).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gtrain/base/option.h"
#include "gtrain/models/feature.h"
#include "gtrain/models/model.h"
#include "gtrain/nn/form.h"
#include "gtrain/nn/global.h"
#include "gtrain/nn/graph_bias.h"
#include "gtrain/nn/leaving.h"
#include "gtrain/nn/linear.h"
#include "gtrain/nn/local.h"
#include "gtrain/nn/norm.h"
#include "gtrain/nn/sparsity_gate.h"

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
  std::optional<nn::PerformerOptions> performer;
  std::optional<nn::BigBirdOptions> bigbird;
  std::optional<nn::DeepSetsOptions> deep_sets;
  std::optional<nn::GraphBiasOptions> bias;
  NodeOptions node;
  EdgeOptions edge;
  std::vector<EncoderOptions> encoders;
  HeadOptions head;
  std::vector<std::string> quirks;
  void fields(base::FieldVisitor& f);
  bool quirk(std::string_view name) const;
};

// What one layer reads, on packed rows.
struct GpsInput {
  at::Tensor x;  // [N, D]
  at::Tensor e;  // [E, D], undefined without edge features
  nn::Edges edges;
  at::Tensor graph_start;                          // int64 [G+1]
  at::Tensor positions = {};                       // [N, K] where messages are gated
  ops::AttentionBias bias = {};                    // where the global branch is biased
  const ops::AttentionPattern* pattern = nullptr;  // where it is bigbird: nn::bigbird_pattern
};

class GpsLayer final : public nn::Layer, public nn::FeedGated {
 public:
  explicit GpsLayer(const GpsOptions& options);
  // Before a forward: leaves in `input` the rows that go on (nn/leaving.h), but for its pattern.
  // Whether any left. choice(): of the script, as nn::LeavingScript has it.
  bool narrow(GpsInput& input, nn::Leaving& leaving, nn::Context& context);
  std::string choice(const std::string& name) const;
  // (X', E'); E' is E unless the local branch updates it.
  std::pair<at::Tensor, at::Tensor> forward(const GpsInput& input, nn::Context& context);
  std::string script() const override;
  std::string fused_script() const override;

 private:
  std::string text(nn::Form form) const;
  at::Tensor feed_forward(const at::Tensor& y, const at::Tensor& graph_start, nn::Context& context);
  nn::TokenGate* leave_gate() const;  // or null

  nn::Activation activation_;
  double dropout_;
  std::string global_name_;             // of the global branch's module
  std::shared_ptr<nn::Local> local_;    // "local"
  std::shared_ptr<nn::Global> global_;  // "attention" or "deep_sets"
  std::shared_ptr<nn::Norm> norm_local_, norm_global_, norm_out_;
  std::shared_ptr<nn::Linear> in_, out_;  // "feed_0", "feed_1"
};

std::shared_ptr<Model> build_model(const GpsOptions& options, const Signature& signature);

}  // namespace gtrain::models

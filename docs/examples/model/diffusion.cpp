#include "diffusion.h"

#include <ATen/ops/relu.h>

#include <cmath>
#include <string>

#include "gtrain/models/feature_encoder.h"
#include "gtrain/nn/adjacency.h"
#include "gtrain/nn/linear.h"

namespace own {
namespace {

using namespace gtrain;

class Diffusion final : public models::Model {
 public:
  Diffusion(const DiffusionOptions& o, const models::Signature& signature) : options_(o) {
    features_ = register_module(
        "features", std::make_shared<models::FeatureEncoder>(o.node, models::NoneOptions(),
                                                             o.encoders, o.width, signature));
    linear_ = register_module("linear", std::make_shared<nn::Linear>(o.width, o.width));
    gamma_ = parameter("gamma", {o.steps + 1});
    head_ = register_module("head", models::make_head(o.head, o.width, "relu", signature));
  }

  at::Tensor forward(const data::GraphBatch& batch, nn::Context& context) override {
    const nn::Edges edges{batch.source, batch.target, batch.in_start, batch.out_start,
                          batch.out_edge};
    at::Tensor h = at::relu(linear_->forward(features_->nodes(batch, context)));
    h = nn::drop(h, options_.dropout, context);
    at::Tensor sum = gamma_[0] * h;
    for (std::int64_t k = 1; k <= options_.steps; ++k) {
      h = nn::normalised_sum(h, edges);
      sum = sum + gamma_[k] * h;
    }
    return head_->forward(sum, {batch.graph_start, batch.pair, &context});
  }

  // The same in TorchScript, in evaluation mode: what gtrain export writes.
  std::string script() const override {
    return nn::normalised_sum_script() +
           "def encoded_forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor, "
           "batch: Tensor, encodings: List[Tensor]) -> Tensor:\n"
           "    h = self.features.nodes(x, edge_index, batch, encodings)\n"
           "    h = torch.relu(self.linear.forward(h))\n"
           "    total = self.gamma[0] * h\n"
           "    for k in range(1, self.gamma.size(0)):\n"
           "        h = self.normalised_sum(h, edge_index[0], edge_index[1])\n"
           "        total = total + self.gamma[k] * h\n"
           "    return self.head.forward(total, batch)\n";
  }

  std::vector<std::string> encoding_inputs() const override { return features_->encoding_inputs(); }

  // Of `gamma` alone: the layers draw their own.
  void initialise(base::Random&) override {
    const at::NoGradGuard no_grad;
    for (std::int64_t k = 0; k <= options_.steps; ++k) {
      const bool last = k == options_.steps;
      gamma_[k] = (last ? 1.0 : options_.alpha) * std::pow(1 - options_.alpha, k);
    }
  }

 private:
  DiffusionOptions options_;
  std::shared_ptr<models::FeatureEncoder> features_;
  std::shared_ptr<nn::Linear> linear_;
  std::shared_ptr<nn::Head> head_;
  at::Tensor gamma_;
};

}  // namespace

// Decoding, bounds, unknown keys, gtrain explain and the dump of a run all read this list.
void DiffusionOptions::fields(base::FieldVisitor& f) {
  f({.key = "width", .doc = "channels of nodes", .min = 1, .max = 4096}, width);
  f({.key = "steps", .doc = "longest walk", .min = 1, .max = 64}, steps);
  f({.key = "alpha", .doc = "probability to stop, at the start", .min = 0, .max = 1}, alpha);
  f({.key = "dropout", .doc = "before the walks", .min = 0, .max = 0.999}, dropout);
  f({.key = "node", .doc = "raw node columns to vectors", .required = true}, node);
  f({.key = "encoders", .doc = "learned encoders of computed encodings", .tag = "kind"}, encoders);
  f({.key = "head", .doc = "prediction head", .required = true}, head);
  f.require(models::joined_width(encoders) <= width, "encoders", "concatenate more than the width");
}

std::shared_ptr<models::Model> build_model(const DiffusionOptions& options,
                                           const models::Signature& signature) {
  return std::make_shared<Diffusion>(options, signature);
}

}  // namespace own

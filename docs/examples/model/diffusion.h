// Generalised PageRank (Chien et al. 2021): node vectors, spread along the edges with one learned
// weight per number of steps.
//   h = relu(W x + b)      y = head(sum_k gamma_k A^k h),  k = 0..steps
// A = D^-1/2 (adjacency + I) D^-1/2; gamma_k starts at alpha (1 - alpha)^k, the last at
// (1 - alpha)^steps: personalised PageRank.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "gtrain/base/option.h"
#include "gtrain/models/feature.h"
#include "gtrain/models/model.h"

namespace own {

struct DiffusionOptions {
  static constexpr std::string_view kName = "diffusion";
  static constexpr std::string_view kDoc = "generalised PageRank (Chien et al. 2021)";
  std::int64_t width = 64;
  std::int64_t steps = 4;
  double alpha = 0.1;
  double dropout = 0.0;
  gtrain::models::NodeOptions node;
  std::vector<gtrain::models::EncoderOptions> encoders;
  gtrain::models::HeadOptions head;
  void fields(gtrain::base::FieldVisitor& f);
};

// Found by its arguments: this and kName, kDoc, fields() are what a model's options need.
std::shared_ptr<gtrain::models::Model> build_model(const DiffusionOptions& options,
                                                   const gtrain::models::Signature& signature);

}  // namespace own

// Which graphs an exported module is held against its model on, and how they are batched: graphs of
// the test split (of the others too where it has fewer than 64), together, in sevens and alone.
#pragma once

#include <cstdint>
#include <vector>

#include "gtrain/deploy/verify.h"
#include "material.h"

namespace gtrain::train {

// The same graphs, as the model takes them and as the module does (module_data.h).
struct TwoViews {
  const Material& model;
  const Material& module;
  bool encodes_transformed = false;  // encodings that are inputs: the model's columns
};

struct SampleChoice {
  std::vector<std::int64_t> ids;  // of graphs with nodes, up to 256
  std::int64_t too_large = 0;     // graphs that the module refuses
};

// `limit`: nodes of the largest graph that the module takes; 0: any.
SampleChoice choose_samples(const TwoViews& views, std::int64_t limit);

// All of them in one batch, again with the edges in another order, 64 of them in sevens and one by
// one. At least one id.
std::vector<deploy::Sample> export_samples(const TwoViews& views, const models::Model& model,
                                           deploy::Encodings encodings,
                                           const std::vector<std::int64_t>& ids);

}  // namespace gtrain::train

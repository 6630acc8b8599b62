// Graphormer (Ying et al. 2021, "Do Transformers Really Perform Badly for Graph Representation?"):
// a transformer over all nodes of a graph whose scores carry the bias of nn/graph_bias.h, with
// degrees added to the node vectors and a token in front of each graph that the head reads.
//   x = Drop_i([token | features + z(degrees)])     x = layer_l(x, bias), l = 1..L     head(x)
// Presets: slim L 12, width = hidden 80, H 8; small L 6, 512, H 32; base L 12, 768, H 32; large L
// 24, 1024, H 32. The authors' second version: norm: after, input_norm, no final_norm, init:
// normal. GraphGPS's port: head graphormer, no final_norm, init: own.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gtrain/models/feature.h"
#include "gtrain/models/model.h"
#include "gtrain/nn/graph_bias.h"

namespace gtrain::models {

struct GraphormerOptions {
  static constexpr std::string_view kName = "graphormer";
  static constexpr std::string_view kDoc =
      "Graphormer (Ying et al. 2021): attention biased by distances and path edges";
  std::int64_t width = 80;
  std::int64_t layers = 12;
  std::int64_t heads = 8;
  std::int64_t hidden = 80;
  std::string norm = "before";
  bool input_norm = false;
  bool final_norm = true;
  double dropout = 0.1;
  double input_dropout = 0.1;
  double attention_dropout = 0.1;
  double activation_dropout = 0.0;
  std::string init = "scaled_normal";
  NodeOptions node;
  std::vector<EncoderOptions> encoders;
  nn::GraphBiasOptions bias;
  HeadOptions head = HalvingHeadOptions{0, "graph_token"};
  void fields(base::FieldVisitor& f);
};

std::shared_ptr<Model> build_model(const GraphormerOptions& options, const Signature& signature);

}  // namespace gtrain::models

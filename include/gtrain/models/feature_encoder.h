// What a model does before its layers: raw node columns to vectors, encodings learned and joined,
// raw edge columns to vectors. Shared by every model of the zoo.
//   node vector: [own (D - sum of concatenated dims) | encoder 1 | encoder 2 | …], then added ones
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gtrain/data/batch.h"
#include "gtrain/models/feature.h"
#include "gtrain/models/model.h"
#include "gtrain/nn/layer.h"

namespace gtrain::models {

class FeatureEncoder final : public nn::Layer {
 public:
  // Throws base::RecipeError where an option does not fit the data.
  FeatureEncoder(const NodeOptions& node, const EdgeOptions& edge,
                 const std::vector<EncoderOptions>& encoders, std::int64_t width,
                 const Signature& signature);
  // Edges alone, for models whose layers each have an encoder of their own: nodes is not callable.
  FeatureEncoder(const EdgeOptions& edge, std::int64_t width, const Signature& signature);

  at::Tensor nodes(const data::GraphBatch& batch, nn::Context& context);  // [N, D]
  at::Tensor edges(const data::GraphBatch& batch);  // [E, D]; undefined for edge {name: none}

  // Encoding columns in the order in which the scripted methods take them.
  const std::vector<std::string>& encoding_inputs() const { return inputs_; }
  // Methods nodes(x, batch, encodings: List[Tensor]) and edges(edge_attr).
  std::string script() const override;

 private:
  struct Encoder;
  void register_edge(const EdgeOptions& edge, std::int64_t width, const Signature& signature);
  std::string node_script() const;

  std::shared_ptr<nn::Layer> node_, edge_;  // "node", "edge"
  std::vector<std::shared_ptr<Encoder>> encoders_;
  std::vector<std::string> inputs_;
};

// nn layer of a head option. RecipeError when its level does not fit the task.
std::shared_ptr<nn::Layer> make_head(const HeadOptions& options, std::int64_t width,
                                     const std::string& activation, const Signature& signature);

}  // namespace gtrain::models

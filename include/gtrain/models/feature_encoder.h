// What a model does before its layers: raw node columns to vectors, encodings learned and joined,
// raw edge columns to vectors. Shared by every model of the zoo.
//   node vector: [own (D - sum of concatenated dims) | encoder 1 | encoder 2 | …], then added ones
//   positions:   what the encoder with join: gate puts out, for gates of a local branch alone
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gtrain/data/batch.h"
#include "gtrain/models/feature.h"
#include "gtrain/models/model.h"
#include "gtrain/nn/encoder.h"
#include "gtrain/nn/head.h"

namespace gtrain::models {

class FeatureEncoder final : public nn::Layer {
 public:
  // Edge vectors are `edge_width` wide; 0: as nodes. Throws base::RecipeError where an option does
  // not fit the data.
  FeatureEncoder(const NodeOptions& node, const EdgeOptions& edge,
                 const std::vector<EncoderOptions>& encoders, std::int64_t width,
                 const Signature& signature, std::int64_t edge_width = 0);
  // Edges alone, for models whose layers each have an encoder of their own: nodes is not callable.
  FeatureEncoder(const EdgeOptions& edge, std::int64_t width, const Signature& signature);

  // [N, D], the context's perturbation added. `dropout` applies before what is joined by adding.
  at::Tensor nodes(const data::GraphBatch& batch, nn::Context& context, double dropout = 0.0);
  // [N, D], undefined without an encoder for gates. To be called after nodes.
  at::Tensor positions(const data::GraphBatch& batch, nn::Context& context);
  at::Tensor edges(const data::GraphBatch& batch);  // [E, D]; undefined for edge {name: none}

  // Encoding columns in the order in which the scripted methods take them.
  const std::vector<std::string>& encoding_inputs() const { return inputs_; }
  bool has_positions() const;
  // Methods nodes(x, edge_index, batch, encodings: List[Tensor]), edges(edge_attr) and, with an
  // encoder for gates, positions(edge_index, batch, encodings).
  std::string script() const override;

 private:
  struct Encoder {
    enum class Join { kConcat, kAdd, kGate };
    std::shared_ptr<nn::Encoder> layer;  // "encoder_<i>"
    std::vector<std::string> inputs;     // encoding columns
    Join join = Join::kConcat;
    std::int64_t dim = 0;
  };
  Encoder make_encoder(std::size_t i, const EncoderOptions& options, std::int64_t width,
                       const Signature& signature) const;
  at::Tensor encode(const Encoder& encoder, const data::GraphBatch& batch,
                    nn::Context& context) const;
  void register_edge(const EdgeOptions& edge, std::int64_t width, const Signature& signature);
  std::string call_script(std::size_t i) const;
  std::string node_script() const;

  std::shared_ptr<nn::Layer> node_, edge_;  // "node", "edge"
  std::vector<Encoder> encoders_;
  std::vector<std::string> inputs_;
};

// nn layer of a head option. Throws base::RecipeError when it does not fit the task.
std::shared_ptr<nn::Head> make_head(const HeadOptions& options, std::int64_t width,
                                    const std::string& activation, const Signature& signature);

}  // namespace gtrain::models

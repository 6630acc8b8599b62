// A model: maps a GraphBatch to raw outputs (logits or values). Only models see batches; layers see
// tensors. Built from options and a signature by models/zoo.h.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "gtrain/data/batch.h"
#include "gtrain/data/dataset.h"
#include "gtrain/nn/layer.h"

namespace gtrain::models {

// What a model has to know of the data: shapes and vocabularies, not values.
struct Signature {
  data::Level level = data::Level::kGraph;
  std::int64_t outputs = 1;                   // C
  std::int64_t node_width = 0;                // F
  std::int64_t edge_width = 0;                // Fe
  std::vector<std::int64_t> node_categories;  // per integer column; empty: float features
  std::vector<std::int64_t> edge_categories;
  std::map<std::string, std::int64_t> encodings;  // column name -> width K ("random_walk" -> 20)
};

// `encodings`: name -> width of every encoding the recipe computes.
Signature signature_of(const data::Dataset& dataset, std::map<std::string, std::int64_t> encodings);

class Model : public nn::Layer {
 public:
  // [G, C] for graph tasks, [N, C] for node tasks (all nodes; batch.label_row selects), [P, C] for
  // edge tasks.
  virtual at::Tensor forward(const data::GraphBatch& batch, nn::Context& context) = 0;

  // Inputs of the exported forward beyond (x, edge_index, edge_attr, batch): the encoding columns
  // the scripted forward takes, in order ("random_walk", "laplacian.values", …).
  virtual std::vector<std::string> encoding_inputs() const = 0;
};

}  // namespace gtrain::models

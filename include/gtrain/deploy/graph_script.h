// TorchScript of what a recipe does to raw graphs before they are encoded: node columns made from
// the graph (data/feature.h) and virtual nodes (data/transform.h), so that an exported module takes
// graphs as they are on disk. Edges, nodes and batch ids stay in the order in which they come.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gtrain/data/transform.h"

namespace gtrain::deploy {

// Node columns that the module makes itself, as data::apply_features does; "": x is the model's.
struct RawFeatures {
  std::string name;                      // one of data::made_from_graph
  std::int64_t degree_cap = 0;           // degree_onehot
  std::vector<std::int64_t> categories;  // one_hot: of the columns of x; else x is only counted
};

// Method `made_features(self, x, edge_index, batch) -> Tensor [N, F]`; empty where nothing is made.
// Throws base::RecipeError for one_hot without categories and for unknown names.
std::string feature_script(const RawFeatures& features);

// Columns that x has to have where the model reads `width`; -1: any number.
std::int64_t raw_width(const RawFeatures& features, std::int64_t width);

// Method `with_virtual(self, x, edge_index, edge_attr, batch)` -> those with one more node in every
// graph, and the rows [N] of the graphs' own nodes; and `widened(self, column, rows, nodes)`, a
// column [N, K] with rows of zeros for the others. Empty without transforms.
std::string transform_script(const std::vector<data::TransformOptions>& transform);

// Whether a transform comes at that stage ("import" or "encode").
bool transforms_after(const std::vector<data::TransformOptions>& transform, const char* stage);

}  // namespace gtrain::deploy

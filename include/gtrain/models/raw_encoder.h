// Raw node or edge columns to vectors: the nn layer that a NodeOptions or EdgeOptions names, how it
// is called on a batch's columns, and the same in TorchScript.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gtrain/models/feature.h"
#include "gtrain/nn/layer.h"

namespace gtrain::models {

// What the data say of the columns.
struct RawColumns {
  const char* what;  // "node" or "edge"
  std::int64_t width;
  const std::vector<std::int64_t>& categories;  // per integer column; empty: float columns
};

// Throws base::RecipeError where the options do not fit the columns. nullptr for {name: none}.
std::shared_ptr<nn::Layer> make_raw_encoder(const NodeOptions& options, const RawColumns& columns,
                                            std::int64_t width);
std::shared_ptr<nn::Layer> make_raw_encoder(const EdgeOptions& options, const RawColumns& columns,
                                            std::int64_t width);

// Columns [rows, F] (or [rows] of one column) -> [rows, D], floating columns cast to `type`.
at::Tensor encode_raw(nn::Layer& layer, const at::Tensor& raw, std::int64_t rows,
                      at::ScalarType type, nn::Context& context);

// TorchScript: the expression that calls self.<name> on the tensor `argument` (per-node graph ids
// in `batch`), the statement that refuses values outside its tables, and the method it calls.
std::string raw_call(const nn::Layer& layer, const std::string& name, const std::string& argument);
std::string raw_check(const nn::Layer& layer, const std::string& argument);
std::string check_categories_script();

}  // namespace gtrain::models

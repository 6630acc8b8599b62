// The table of models: every model gtrain can build, its options and what verifies it. Adding a
// model is its header, one alternative here and one line in zoo.cpp; its own file defines
// build_model(const XOptions&, const Signature&).
#pragma once

#include <memory>
#include <string_view>
#include <variant>
#include <vector>

#include "gtrain/models/gps.h"
#include "gtrain/models/graphormer.h"
#include "gtrain/models/gt.h"
#include "gtrain/models/model.h"
#include "gtrain/models/mpnn.h"
#include "gtrain/models/san.h"

namespace gtrain::models {

using ModelOptions =
    std::variant<GpsOptions, GraphormerOptions, GtOptions, MpnnOptions, SanOptions>;

struct Entry {
  std::string_view name, paper, verified;  // verified: "golden", "equations" or "not yet"
};
const std::vector<Entry>& zoo();

// Throws base::RecipeError where options and data do not fit (float features for an embedding, a
// head of the wrong level, an encoding that is not computed), naming the key.
std::shared_ptr<Model> build(const ModelOptions& options, const Signature& signature);

// Draws every parameter from the distributions of the reference implementation, as a function of
// `seed` alone.
void initialise(Model& model, std::uint64_t seed);

// Learned values; what published tables call parameters.
std::int64_t parameter_count(const Model& model);

}  // namespace gtrain::models

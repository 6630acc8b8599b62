// What a run is made of before its first step: data, encodings, split, target scale and the model's
// signature, all from a recipe. Also the few facts a checkpoint keeps of them, so that a trained
// model can be built again without its training data.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "gtrain/data/open.h"
#include "gtrain/models/model.h"
#include "gtrain/train/recipe.h"
#include "numerics.h"

namespace gtrain::train {

// y' = (y - mean) / deviation per label column; empty: targets as they are.
struct TargetScale {
  std::vector<double> mean, deviation;

  at::Tensor apply(const at::Tensor& label) const;
  at::Tensor undo(const at::Tensor& output) const;
};

struct Material {
  data::Opened opened;
  std::vector<data::Column> encodings;
  data::Split split;
  models::Signature signature;
  TargetScale scale;

  const data::Dataset& dataset() const { return opened.dataset; }
};

Material prepare(const Recipe& recipe);
// The same from an opened data set; `prepare` is this after data::open_dataset.
Material prepare(const Recipe& recipe, data::Opened opened);

// The same without the encodings: no batch can be made for a model that reads some.
Material unencoded(const Recipe& recipe, data::Opened opened);

// The encoding columns of the recipe. Transforms the data set in place, and them, as it says.
std::vector<data::Column> encode_all(const Recipe& recipe, data::Opened& opened);

// True where some row of `ids` has a label; `positive`: one above 0.
bool has_label(const data::Dataset& dataset, const std::vector<std::int64_t>& ids,
               bool positive = false);

// Mean and population deviation (1 where it is 0) of the labelled train rows, per column.
TargetScale fit_scale(const data::Dataset& dataset, const std::vector<std::int64_t>& train);

// The facts of a checkpoint.
struct Facts {
  std::string recipe_hash;
  std::string data_hash;  // of the store; empty: unknown
  std::int64_t seed = 0;
  models::Signature signature;
  TargetScale scale;
  std::int64_t numerics = kNumericsVersion;  // of the gtrain that trained; 0: it did not say
};
// Warns where that was another version than this program's.
void check_numerics(const Facts& facts, const std::string& origin);
std::map<std::string, std::string> to_strings(const Facts& facts);
Facts facts_of(const std::map<std::string, std::string>& strings, const std::string& origin);

}  // namespace gtrain::train

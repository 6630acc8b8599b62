// Trained models at work: the selected state of a run as a model, its figures on a split, its
// outputs as rows.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "evaluation.h"
#include "gtrain/data/card.h"
#include "material.h"

namespace gtrain::train {

// The selected state of a run without its training data.
struct Selected {
  Recipe recipe;
  Facts facts;
  std::shared_ptr<models::Model> model;
};
// Throws base::RecipeError for a directory that holds several runs, base::DataError for one that
// holds none or no state that verifies.
Selected load_selected(const std::filesystem::path& directory,
                       const models::Zoo& zoo = models::zoo());

// The recipe with another data set in the place of its own; feature and edge options that `data`
// leaves open stay the recipe's.
Recipe with_data(Recipe recipe, const data::DatasetOptions& data);

// What `split` of the data of with_data() is read from; "all" asks for no splits.
Material shown(const Recipe& recipe, const std::string& split);

// The card of a named data set, which need not be there.
std::optional<data::Card> card_of(const data::DatasetOptions& dataset);

// What a model was trained for, from the recipe or its data set's card; empty: neither says it.
std::string task_of(const data::DatasetOptions& dataset);

struct Trained {
  const models::Signature& signature;
  std::string task;  // empty: unknown
};
// Throws base::DataError where data (of which `info` is) and model do not fit. Data of a class task
// may have fewer classes than the model: they need not hold all of them.
void check_signature(const models::Signature& of_data, const Trained& model,
                     const data::DatasetInfo& info);

// Ids of a split ("train", "valid", "test" or "all") in ascending order.
std::vector<std::int64_t> ids_of(const Material& material, const std::string& split);

// Whether a node of graphs with a virtual node (data/transform.h) is that one.
bool is_added(const data::GraphBatch& batch, std::int64_t node);

// Outputs of a batch in the units of the targets.
using Forward = std::function<at::Tensor(const data::GraphBatch&)>;

// The model in evaluation mode.
Forward forward_of(models::Model& model, const TargetScale& scale);

struct Rows {
  std::int64_t outputs = 1;  // of the model
  data::LoaderOptions loading;
};

// Rows `graph,token0,…` of words (subtoken tasks), `graph,task0,…`, `graph,node,task0,…` or
// `graph,source,target,task0,…`, with a header line.
std::string prediction_rows(const Forward& forward, const Material& material,
                            std::vector<std::int64_t> ids, const Rows& as);

std::string gzip(const std::string& bytes);

}  // namespace gtrain::train

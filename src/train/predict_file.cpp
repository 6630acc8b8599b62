#include "gtrain/train/predict_file.h"

#include <ATen/core/Tensor.h>
#include <fmt/format.h>

#include <optional>

#include "gtrain/base/durable.h"
#include "gtrain/base/error.h"
#include "gtrain/base/log.h"
#include "gtrain/deploy/exported.h"
#include "gtrain/train/recipe_file.h"
#include "gtrain/train/run_directory.h"
#include "gtrain/train/serial_aten.h"
#include "module_data.h"
#include "predict.h"

namespace gtrain::train {
namespace {

namespace fs = std::filesystem;

// What the module takes of the recipe's data, and the columns of transformed graphs where it takes
// those as inputs.
struct ModuleMaterial {
  Recipe recipe;
  Material material;
  std::optional<Material> encoded;
};

ModuleMaterial prepare_for(const deploy::Description& description, Recipe recipe,
                           const data::DatasetOptions& data, const std::string& split) {
  const Recipe whole = with_data(std::move(recipe), data);
  ModuleMaterial out{whole, {}, {}};
  out.recipe.dataset = module_data(whole.dataset);
  const bool inputs = description.encodings == deploy::Encodings::kInput;
  const bool transformed = encodes_transformed(whole.dataset);
  if (!inputs || transformed) out.recipe.encode.clear();
  out.material = shown(out.recipe, split);
  if (inputs && transformed) out.encoded = shown(whole, split);
  return out;
}

// The module's columns: any number of node columns where it only counts them.
void check_columns(const deploy::Description& description, Material& material) {
  models::Signature wanted = description.signature;
  if (wanted.node_width == deploy::kAnyColumns) {
    wanted.node_width = material.signature.node_width;
    wanted.node_categories = material.signature.node_categories;
  }
  check_signature(material.signature, {wanted, description.task}, material.dataset().info);
}

}  // namespace

void predict_file(const fs::path& file, const PredictFileOptions& options, const fs::path& out) {
  const SerialAten serial;
  check_output(out);
  if (fs::weakly_canonical(out) == fs::weakly_canonical(file)) {
    throw base::RecipeError(
        fmt::format("--out {}: is the exported file; expected another name", out.string()));
  }
  deploy::Exported exported = deploy::load_exported(file);
  base::warn(
      fmt::format("{}: TorchScript is code and runs with your rights; load only files you trust",
                  file.string()));
  const deploy::Description& description = exported.description;
  Recipe recipe =
      parse_data_recipe(description.recipe, file.string() + ": recipe", options.overrides);
  data::DatasetOptions data = recipe.dataset;
  if (!options.data.empty()) point_dataset(data, options.data);
  ModuleMaterial module = prepare_for(description, std::move(recipe), data, options.split);
  check_columns(description, module.material);
  const auto forward = [&](const data::GraphBatch& given) {
    if (!module.encoded) return deploy::run(exported, given);
    data::GraphBatch batch = given;
    batch.encoding =
        data::collate(module.encoded->dataset(), module.encoded->encodings, given.graph_ids)
            .encoding;
    return deploy::run(exported, batch);
  };
  const std::string rows =
      prediction_rows(forward, module.material, ids_of(module.material, options.split),
                      {description.signature.outputs, plain_loading(module.recipe)});
  base::write_durable(out, out.extension() == ".gz" ? gzip(rows) : rows);
}

}  // namespace gtrain::train

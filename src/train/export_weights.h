// The weights of a trained model as safetensors, and config.json in the same folder: the model's
// options as JSON, names and shapes of its tensors, and what gtrain.json says of an exported module
// (docs/export.md).
#pragma once

#include <filesystem>

#include "gtrain/deploy/script_module.h"
#include "predict.h"

namespace gtrain::train {

// Both are durable; an earlier export of the same name is replaced. `spec` says type and texts.
// Throws base::RecipeError where a config.json of something else stands in the folder.
void export_weights(const Selected& selected, const deploy::ExportSpec& spec,
                    const std::filesystem::path& out);

}  // namespace gtrain::train

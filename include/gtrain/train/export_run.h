// `gtrain export`: the selected state of a run as a file for use without gtrain. TorchScript is
// compared with the model on graphs of the run's own data set before it appears (deploy/export.h);
// safetensors carries the weights alone, under the model's tensor names.
#pragma once

#include <filesystem>
#include <string>

#include "gtrain/models/zoo.h"

namespace gtrain::train {

struct ExportRunOptions {
  std::string format = "torchscript";  // or "safetensors"
  std::string encodings = "inside";    // or "input": forward takes them after `batch`
  bool fused = false;                  // not in this build: base::RecipeError
};

// Notes what was written and how well it agrees. Throws base::RecipeError for options and models
// that cannot be exported so, base::DataError for a run that cannot be loaded.
void export_run(const std::filesystem::path& run, const std::filesystem::path& out,
                const ExportRunOptions& options, const models::Zoo& zoo = models::zoo());

}  // namespace gtrain::train

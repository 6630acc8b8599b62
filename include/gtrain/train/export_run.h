// `gtrain export`: the selected state of a run as a file for use without gtrain. TorchScript is
// compared with the model on graphs of the test split before it appears (deploy/export.h);
// safetensors carries the weights under the model's tensor names, and config.json beside it what
// they belong to.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "gtrain/models/zoo.h"

namespace gtrain::train {

struct ExportRunOptions {
  std::string format = "torchscript";  // or "safetensors"
  std::string encodings = "inside";    // or "input": forward takes them after `batch`
  std::string dtype = "float32";       // or "bf16": of weights, and of a module's arithmetic
  bool fused = false;                  // with calls of libgtrain_ops
  bool freeze = false;                 // weights as constants, batch norm folded
  std::vector<std::string> fresh;      // the command that loads the file again; empty: this process
};

// Notes what was written and how well it agrees. Throws base::RecipeError for options and models
// that cannot be exported so, base::DataError for a run that cannot be loaded.
void export_run(const std::filesystem::path& run, const std::filesystem::path& out,
                const ExportRunOptions& options, const models::Zoo& zoo = models::zoo());

}  // namespace gtrain::train

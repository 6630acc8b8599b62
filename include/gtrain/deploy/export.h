// A model written as a file that plain torch loads, verified before it appears under its name:
// the bytes are loaded again and run on sample batches, edges in another order, against the model.
//
// The archive's extra file gtrain.json: {"format": 1, "recipe", "metric", "task", "output_names",
// "encodings": "inside" | "input", "inputs", "dense_nodes", "fused": false, "versions"}.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "gtrain/data/batch.h"
#include "gtrain/deploy/script_module.h"

namespace gtrain::deploy {

struct Verified {
  std::int64_t graphs = 0;
  double difference = 0.0;  // largest, relative to max(1, largest |output|)
};

// `samples` carry the model's encoding columns. Durable (base/durable.h). Throws base::RecipeError
// where an encoding cannot be computed inside, base::ResourceError where the disk fails,
// std::runtime_error where file and model differ by more than kTolerance; nothing is left behind.
inline constexpr double kTolerance = 1e-5;
Verified export_torchscript(models::Model& model, const ExportSpec& spec,
                            const std::vector<data::GraphBatch>& samples,
                            const std::filesystem::path& path);

// Arguments of a scripted forward for a batch; the encodings too where they are inputs.
std::vector<at::Tensor> arguments_of(const data::GraphBatch& batch, const models::Model& model,
                                     Encodings encodings);

}  // namespace gtrain::deploy

// An exported file at work: loaded, checked, and run on batches. TorchScript is code: what is
// loaded can do what the process can do. The seal shows damage, not who made the file.
#pragma once

#include <torch/csrc/jit/api/module.h>

#include <filesystem>

#include "gtrain/data/batch.h"
#include "gtrain/deploy/description.h"

namespace gtrain::deploy {

struct Exported {
  torch::jit::Module module;
  Description description;
};

// Reads the file once, checks its seal before torch sees a byte of it, and loads it. Throws
// base::DataError for a file that is missing, damaged or was not exported by gtrain.
Exported load_exported(const std::filesystem::path& path);

// Outputs for a batch, a row for each of its graphs (also for those without nodes), nodes or pairs;
// encodings that are inputs come from the batch's columns. Throws base::DataError with the message
// of the module's check where it refuses the batch, what torch throws where anything else fails.
at::Tensor run(Exported& exported, const data::GraphBatch& batch);

}  // namespace gtrain::deploy

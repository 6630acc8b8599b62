// Checkpoints: what a run needs to go on, bit for bit, as one safetensors file (base/safetensors.h)
// with a hash per tensor. Model tensors stand under their plain module names, optimizer state under
// `optimizer.`, masks of sparsification under `sparsify.`, labels and outputs of a partly done
// epoch under `trainer.`; everything else is JSON in the metadata. Randomness is counter-based, so
// there is none to keep.
//
// A run keeps two generations, last.safetensors and last.previous.safetensors: the old file is
// renamed before the new one is written, so that one of them is whole at every moment.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "gtrain/base/safetensors.h"
#include "gtrain/train/schedule.h"

namespace gtrain::train {

using NamedTensors = std::map<std::string, at::Tensor>;

// Where a run stands. Epochs count from 1. No times: two runs of one recipe write equal files.
struct Progress {
  std::int64_t epoch = 0;       // epochs completed
  std::int64_t batch = 0;       // batches done of the epoch after that; 0 at an epoch's end
  std::int64_t updates = 0;     // optimizer steps so far
  bool done = false;            // training ended after `epoch`
  std::int64_t best_epoch = 0;  // 0: none yet
  double best = 0.0;            // metric on valid at best_epoch
  std::int64_t since_best = 0;  // evaluations since then
  std::int64_t lines = 0;       // of metrics.jsonl that belong to this state
  std::optional<Plateau::State> plateau;
  // Of a partly done epoch: what its metrics need.
  double loss_sum = 0.0;
  std::int64_t labelled = 0;
};

struct Checkpoint {
  NamedTensors model;
  NamedTensors optimizer;  // empty in best.safetensors
  NamedTensors sparsify;   // empty in best.safetensors, too
  NamedTensors partial;    // "outputs", "labels" of a partly done epoch
  Progress progress;
  std::map<std::string, std::string> facts;  // what the weights belong to: recipe hash, seed, …
};

// Parameters and buffers by module name; the tensors share the module's memory.
NamedTensors model_tensors(const torch::nn::Module& model);
// Copies values in. Throws base::DataError naming the first tensor that is missing, left over or of
// another shape or type.
void load_model_tensors(torch::nn::Module& model, const NamedTensors& tensors,
                        const std::string& origin);

void write_checkpoint(const std::filesystem::path& path, const Checkpoint& checkpoint);
// Verifies every hash. Throws base::DataError.
Checkpoint read_checkpoint(const std::filesystem::path& path);

// Throws base::DataError, naming the file of the best state, where recipe, seed or data of the two
// are not the same.
void check_same_run(const Checkpoint& best, const Checkpoint& last,
                    const std::filesystem::path& file);

// The model's tensors in a checkpoint, an exported safetensors file or any other with plain names;
// hashes are verified where there are some. Throws base::DataError.
NamedTensors read_weights(const std::filesystem::path& path);

// Makes `checkpoint` the newest generation of a run directory.
void save_generation(const std::filesystem::path& directory, const Checkpoint& checkpoint);
// The newest generation that verifies; each one that does not adds a line to `skipped`.
std::optional<Checkpoint> newest_generation(const std::filesystem::path& directory,
                                            std::vector<std::string>& skipped);

}  // namespace gtrain::train

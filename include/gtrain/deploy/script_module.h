// A model as a TorchScript module: what a trained model becomes outside gtrain. Every nn layer
// carries the TorchScript text of its own forward; here the module tree is walked bottom-up, each
// layer becomes a script class with the same parameter, buffer and child names, and the root gets
// checks of its inputs, the encodings and
//
//   forward(x, edge_index, edge_attr, batch) -> Tensor [G, C], or [N, C] for node tasks
//   forward(x, edge_index, edge_attr, batch, pairs: [2, P]) -> [P, C] for edge tasks
//   forward(x, edge_index, edge_attr, batch, [pairs,] <encoding columns…>)   with Encodings::kInput
//
// G = batch[-1] + 1. Evaluation mode only. Uses ATen operators alone, so that plain torch loads it.
#pragma once

#include <torch/csrc/jit/api/module.h>

#include <map>
#include <string>
#include <vector>

#include "gtrain/deploy/graph_script.h"
#include "gtrain/encode/encoding.h"
#include "gtrain/models/model.h"

namespace gtrain::deploy {

enum class Encodings { kInside, kInput };

// What an exported module has to know beyond the model. The texts only go into gtrain.json.
struct ExportSpec {
  models::Signature signature;
  std::vector<encode::EncodingOptions> encode;
  Encodings encodings = Encodings::kInside;
  RawFeatures features;
  std::vector<data::TransformOptions> transform;  // applied inside: x, edges, pairs are without it
  bool fused = false;             // nn::Layer::fused_script() in the place of script()
  bool frozen = false;            // weights as constants of the code (deploy/freeze.h)
  std::string dtype = "float32";  // or "bfloat16": of weights and arithmetic
  std::vector<double> target_mean, target_deviation;  // [C], or empty: outputs as they are
  std::string recipe, metric, task;                   // recipe: YAML
  std::vector<std::string> output_names;              // [C]
  std::map<std::string, std::string> versions;
  std::string scores;   // JSON object: what the run came to; empty: unknown
  std::string licence;  // a note for the file's readers
};

// Shares the parameters of `model`; state_dict() has the names of the model's tensors. Throws
// base::RecipeError where an encoding cannot be computed inside.
torch::jit::Module script_module(models::Model& model, const ExportSpec& spec);

// Encoding columns that forward takes with Encodings::kInput, each once, in order.
std::vector<std::string> encoding_arguments(const models::Model& model);

}  // namespace gtrain::deploy

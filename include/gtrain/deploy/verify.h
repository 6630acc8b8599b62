// Whether an exported module gives what its model gives: outputs that the loaded file gave are held
// against the model's own on the same graphs.
//
// |y_file - y|, its largest entry, may be at most the larger of
//   float32:  1e-5 max(1, |y|)   and   10 |y - y64|,   y64: the model in float64
//   bfloat16: 2e-2 max(1, |y|)   and   10 |yr - y64|,  yr: in float64 with weights rounded to bf16
// where every |.| is the largest entry over all samples. The second term is the model's own
// sensitivity: no arithmetic of the type can be asked for more.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "gtrain/data/batch.h"
#include "gtrain/deploy/script_module.h"

namespace gtrain::deploy {

// One call of the module, and the same graphs as the model takes them.
struct Sample {
  std::vector<at::Tensor> arguments;
  data::GraphBatch batch;
  at::Tensor rows;  // int64: rows of the model's output that the module gives; undefined: all
};

struct Verified {
  std::int64_t graphs = 0, calls = 0;  // graphs: over all calls
  double difference = 0.0;             // largest |y_file - y|
  double size = 0.0;                   // largest |y|
  double gap = 0.0;                    // the model's own, above
  double bound = 0.0;
};

// Arguments of a scripted forward for a batch; the encodings too where they are inputs.
std::vector<at::Tensor> arguments_of(const data::GraphBatch& batch, const models::Model& model,
                                     Encodings encodings);

// A batch that module and model take alike.
Sample sample_of(const data::GraphBatch& batch, const models::Model& model, Encodings encodings);

// `outputs`: one a sample. NaN and infinities count as equal to themselves: a diverged model is
// exported as it is. Runs the model in float64 and sets it back. Throws base::Error (kBug) where
// shapes differ; a difference above the bound is the caller's to judge.
Verified compare(models::Model& model, const ExportSpec& spec, const std::vector<Sample>& samples,
                 const std::vector<at::Tensor>& outputs);

}  // namespace gtrain::deploy

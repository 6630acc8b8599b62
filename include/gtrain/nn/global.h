// What every global branch is: node vectors that see all nodes of their graph, chosen by name. The
// layers themselves stand in nn/attention.h, performer.h, bigbird.h and deep_sets.h.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gtrain/base/option.h"
#include "gtrain/nn/layer.h"
#include "gtrain/ops/attention_pattern.h"
#include "gtrain/ops/varlen_attention.h"

namespace gtrain::nn {

struct GlobalInput {
  at::Tensor x;                                    // [N, D]
  at::Tensor graph_start;                          // int64 [G+1]
  ops::AttentionBias bias = {};                    // for biased attention, else unread
  const ops::AttentionPattern* pattern = nullptr;  // for attention over a pattern
};

class Global : public Layer {
 public:
  // The update of x, [N, D], to which the caller adds x and dropout. Scripted alike:
  //   forward(self, x: Tensor, batch: Tensor, groups: List[Tensor], bias: List[Tensor]) -> Tensor
  // with batch int64 [N], groups of nn/attention.h, and bias [g, H, n, n] of each group, unread
  // unless the attention is biased.
  virtual at::Tensor forward(const GlobalInput& input, Context& context) = 0;
};

// Performer: head_width d whatever the width is; features m, 0: floor(d ln d).
struct PerformerOptions {
  std::int64_t head_width = 64;
  std::int64_t features = 0;
  void fields(base::FieldVisitor& f);

  // A quirk, set by the model: every graph also attends to keys of zeros up to the batch's largest
  // graph, as a dense batch of the reference does; results then depend on the batch.
  bool padded = false;
};

// BigBird: the defaults are the original's three blocks of 3 in the window, three random and two
// global ones.
struct BigBirdOptions {
  std::int64_t window = 4;
  std::int64_t random = 9;
  std::int64_t global = 6;
  std::int64_t seed = 0;
  void fields(base::FieldVisitor& f);
};

// Deep sets; reduce: mean, sum, max or min.
struct DeepSetsOptions {
  std::int64_t layers = 1;
  std::string reduce = "mean";
  void fields(base::FieldVisitor& f);

  // A quirk, set by the model: batch norm's statistics in training also count a row of zeros for
  // each place by which a graph is smaller than the batch's largest, as a dense batch of the
  // reference does.
  bool padded = false;
};

struct GlobalOptions {
  std::int64_t width = 64;  // D
  std::int64_t heads = 4;   // H
  double dropout = 0.0;     // of attention weights; of performer, on its output; not of deep_sets
  PerformerOptions performer = {};
  BigBirdOptions bigbird = {};
  DeepSetsOptions deep_sets = {};
};

// name: one of global_names(). Throws c10::Error for another one.
std::shared_ptr<Global> make_global(const std::string& name, const GlobalOptions& options);

const std::vector<std::string_view>& global_names();

}  // namespace gtrain::nn

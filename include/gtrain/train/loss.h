// Losses: raw model outputs and labels in, one differentiable scalar out. One visible table; a
// task's default stands first for it. Plain ATen operations, so that with one ATen thread the bits
// do not depend on the machine's load. Missing labels (NaN, class -1) never enter a mean.
//
//   output [R, C] float; label [R, C] float (NaN = missing) or int64 [R] (-1 = missing)
//   l1             mean |o - y|            l2  mean (o - y)²
//   smooth_l1      mean of d²/2 where d = |o - y| < 1, else d - 1/2
//   bce            mean of log(1 + e^o) - o y over the labelled entries
//   cross_entropy  mean of -log softmax(o)[y] over the labelled rows
//                  output [R, positions, V] and label [R, words] (subtoken tasks): mean over the
//                  positions too, words from V on as V-2, V-1 after the last word
//   weighted_cross_entropy   the same with class weight (V - n_c)/V of the batch (V labelled rows,
//                  n_c of class c; 0 for absent classes), divided by the sum of the row weights; 0
//                  where all rows are of one class;
//                  with one output column: binary, weights by label, divided by V
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <string_view>
#include <vector>

#include "gtrain/data/dataset.h"

namespace gtrain::train {

struct LossEntry {
  std::string_view name;
  std::string_view doc;
  bool (*fits)(data::Task task);
  at::Tensor (*value)(const at::Tensor& output, const at::Tensor& label);
};

// How many entries (regression, binary) or rows (classes, words) a mean goes over.
std::int64_t labelled_entries(const at::Tensor& label);

const std::vector<LossEntry>& losses();

// The loss a recipe names; empty: the task's own (regression l1, binary and multilabel bce, class
// cross_entropy). Throws base::RecipeError for an unknown name or one that does not fit the task.
const LossEntry& find_loss(const std::string& name, data::Task task);

}  // namespace gtrain::train

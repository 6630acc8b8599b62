// Metrics: raw outputs and labels of a whole split in, one number out, in double. One visible table
// with the definitions of the benchmarks' own evaluators; each says which tasks it fits and whether
// larger is better. docs/metrics.md has the formulas.
//
//   rocauc ap      per label column that has both a 0 and a 1 among its labelled rows, then the
//                  plain mean; ties as scikit-learn. Class tasks: rocauc of each softmax score
//                  against the rest, mean over the classes.
//   rmse mae mse r2 spearman   per column over labelled rows, then the mean
//   acc            class: largest logit is the label. Binary: logit > 0 is the label, per column.
//   f1             class: macro-F1. Binary: F1 of label 1, per column. precision, recall likewise.
//   macro_f1       mean F1 over the classes that occur among labels or predictions
//   accuracy_sbm   mean recall over classes, as GraphGPS computes it (docs/metrics.md: its quirk)
//                  Subtoken tasks: per graph of the set of predicted tokens, then the mean (OGB).
//   hits@K mrr     edge tasks with labels 1 and 0: scores of positives against all negatives
//   graph_mrr graph_hits@K   edge tasks: per graph, each positive (s, t) against all (s, v) with v
//                  a node of the graph, v != t; mean over its positives, then over the graphs that
//                  have some (PCQM-Contact). graph_mrr_filtered: without the v of other positives;
//                  graph_mrr_extended: without s, too (Toenshoff et al. 2023)
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "gtrain/data/dataset.h"

namespace gtrain::train {

// Where a positive pair stands among the candidates of its source: 1 / rank, ties in the middle.
struct Rank {
  std::int64_t graph;  // id in the data set
  double raw;          // among all other nodes
  double filtered;     // among those that make no positive pair
  double extended;     // among those but the source itself
};

// Outputs [R, C] and labels of a split as doubles; label NaN = missing (class -1 becomes NaN).
// Subtoken tasks: output holds token ids, -1 after the last one.
struct Scores {
  data::Task task = data::Task::kGraphRegression;
  std::int64_t rows = 0, columns = 0;  // C
  std::vector<double> output;          // [R, C]
  std::vector<double> label;           // [R, C]; class tasks: [R]; subtoken tasks: [R, words]
  std::vector<Rank> ranks;             // edge tasks, where they were measured

  Scores() = default;
  // output [R, C] or [R]; label as data/batch.h has it. Throws c10::Error where shapes do not fit.
  Scores(data::Task task, const at::Tensor& output, const at::Tensor& label);
};

struct Metric {
  std::string name;
  std::string_view doc;
  bool maximise = true;
  bool (*fits)(data::Task task) = nullptr;
  std::string_view undefined;                  // why `value` can be NaN
  std::function<double(const Scores&)> value;  // NaN where it is not defined
  bool ranks = false;                          // reads Scores::ranks, which evaluation measures
};

const std::vector<Metric>& metrics();  // hits@K and graph_hits@K stand once, with K = 10

// Any name of the table, or hits@K and graph_hits@K with K >= 1. Throws base::RecipeError for an
// unknown name or one that does not fit the task, said of the recipe's `key`.
Metric find_metric(const std::string& name, data::Task task,
                   std::string_view key = "dataset.metric");

// The metrics a run reports: the data set's own first, then the usual ones of its task.
std::vector<Metric> reported_metrics(const std::string& own, data::Task task);

// Fraction of positives strictly above the K-th largest negative; 1 with fewer than K negatives.
double hits_at(std::int64_t k, const std::vector<double>& positive,
               const std::vector<double>& negative);
// 1 / mean of the optimistic and the pessimistic rank of `positive` among `negative`.
double reciprocal_rank(double positive, const double* negative, std::size_t count);

// Precision, recall and F1 of predicted token sets (ogbg-code2): per sample, 0 where undefined,
// then the mean.
struct SetScore {
  double precision = 0, recall = 0, f1 = 0;
};
SetScore set_score(const std::vector<std::vector<std::int64_t>>& reference,
                   const std::vector<std::vector<std::int64_t>>& predicted);

}  // namespace gtrain::train

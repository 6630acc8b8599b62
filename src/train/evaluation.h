// One pass of a model over graphs without training: outputs in data set order, loss and metrics.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gtrain/data/loader.h"
#include "gtrain/models/model.h"
#include "gtrain/ops/flop_count.h"
#include "gtrain/train/loss.h"
#include "gtrain/train/metric.h"
#include "material.h"

namespace gtrain::train {

// What outputs are judged by.
struct Judge {
  const LossEntry& loss;
  std::vector<Metric> metrics;  // the data set's own first
  data::Task task;
  const TargetScale& scale;    // must outlive the judge
  std::int64_t positions = 0;  // subtoken tasks: outputs [R, positions V] are [R, positions, V]
  std::int64_t negatives = 0;  // edge tasks: drawn for each positive pair; 0: pairs as listed

  bool ranks() const;  // some metric reads ranks
  // Rows of a forward's output that have labels, in the shape the loss takes.
  at::Tensor rows(const at::Tensor& output, const data::GraphBatch& batch) const;
};

// The recipe's loss and the metrics it reports, with the one its plateau schedule watches. Throws
// base::RecipeError where one does not fit the task.
Judge judge_of(const Recipe& recipe, const data::DatasetInfo& info, const TargetScale& scale);

// Loss and metrics in the order they are reported; NaN where one is not defined.
using Figures = std::vector<std::pair<std::string, double>>;
double figure(const Figures& figures, const std::string& name);  // NaN when absent

// Token ids of scores [R, positions, V], as floats: the largest score of each position up to the
// first V-1, the end of a sequence; -1 from there on.
at::Tensor decided_tokens(const at::Tensor& scores);

// Rows of a forward's output that have labels.
at::Tensor labelled_rows(const at::Tensor& output, const data::GraphBatch& batch);

// Batches in the data set's order, of the recipe's size.
data::LoaderOptions plain_loading(const Recipe& recipe);

// Collects what an epoch's metrics need: outputs in original units, labels, and the mean of the
// batches' losses weighted by their labelled entries, so that it is the split's own, whatever its
// batches are (but for losses that weigh classes by batch).
class Tally {
 public:
  explicit Tally(const Judge& judge) : judge_(&judge) {}

  void add(double loss, const at::Tensor& output, const at::Tensor& label);
  void add_ranks(const std::vector<Rank>& ranks);
  Figures figures() const;  // those of ranks are NaN where none were added

  std::int64_t labelled() const { return labelled_; }
  double loss_sum() const { return loss_sum_; }
  at::Tensor outputs() const;  // [R, C]
  at::Tensor labels() const;
  void restore(double loss_sum, std::int64_t labelled, const at::Tensor& outputs,
               const at::Tensor& labels);

 private:
  const Judge* judge_;
  double loss_sum_ = 0.0;
  std::int64_t labelled_ = 0;
  std::vector<at::Tensor> outputs_, labels_;
  std::vector<Rank> ranks_;
};

// Runs `model` in evaluation mode over the loader's graphs from their first batch; `prepare`
// changes a batch before it.
void for_each_output(
    models::Model& model, data::Loader& loader,
    const std::function<void(const data::GraphBatch&, const at::Tensor& output)>& use,
    const std::function<void(data::GraphBatch&)>& prepare = {});

Figures evaluate_split(models::Model& model, data::Loader& loader, const Judge& judge);

// The splits of a run, evaluated again and again. Where all of them are rows of one graph, one
// forward serves them all.
class SplitEvaluator {
 public:
  struct Result {
    const char* split;
    Figures figures;
    double seconds;
    std::int64_t graphs;
    ops::Flops flops;  // of one graph
  };

  // The three must outlive the evaluator.
  SplitEvaluator(const Recipe& recipe, const Material& material, const Judge& judge);

  // In the order train, valid, test; without train unless asked for, and without empty splits.
  std::vector<Result> evaluate(models::Model& model, bool with_train);

 private:
  struct Part {
    const char* split;
    std::unique_ptr<data::Loader> loader;  // several graphs
    at::Tensor rows;                       // one graph: int64 [R]
  };

  void evaluate_whole(models::Model& model, std::vector<Result>& results,
                      const std::vector<const Part*>& parts) const;

  const Judge& judge_;
  std::vector<Part> parts_;
  std::optional<data::GraphBatch> whole_;  // the one graph
};

}  // namespace gtrain::train

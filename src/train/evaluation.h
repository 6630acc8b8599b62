// One pass of a model over graphs without training: outputs in data set order, loss and metrics.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "gtrain/data/loader.h"
#include "gtrain/models/model.h"
#include "gtrain/train/loss.h"
#include "gtrain/train/metric.h"
#include "material.h"

namespace gtrain::train {

// Loss and metrics in the order they are reported; NaN where one is not defined.
using Figures = std::vector<std::pair<std::string, double>>;
double figure(const Figures& figures, const std::string& name);  // NaN when absent

// Rows of a forward's output that have labels.
at::Tensor labelled_rows(const at::Tensor& output, const data::GraphBatch& batch);

// Collects what an epoch's metrics need: outputs in original units, labels, and the mean of the
// batches' losses weighted by their graphs.
class Tally {
 public:
  Tally(data::Task task, const TargetScale& scale) : task_(task), scale_(&scale) {}

  void add(double loss, std::int64_t graphs, const at::Tensor& output, const at::Tensor& label);
  Figures figures(const std::vector<Metric>& metrics) const;

  std::int64_t graphs() const { return graphs_; }
  double loss_sum() const { return loss_sum_; }
  at::Tensor outputs() const;  // [R, C]
  at::Tensor labels() const;
  void restore(double loss_sum, std::int64_t graphs, const at::Tensor& outputs,
               const at::Tensor& labels);

 private:
  data::Task task_;
  const TargetScale* scale_;
  double loss_sum_ = 0.0;
  std::int64_t graphs_ = 0;
  std::vector<at::Tensor> outputs_, labels_;
};

// Runs `model` in evaluation mode over the loader's graphs from their first batch.
void for_each_output(
    models::Model& model, data::Loader& loader,
    const std::function<void(const data::GraphBatch&, const at::Tensor& output)>& use);

Figures evaluate_split(models::Model& model, data::Loader& loader, const LossEntry& loss,
                       const std::vector<Metric>& metrics, data::Task task,
                       const TargetScale& scale);

}  // namespace gtrain::train

#include "evaluation.h"

#include <ATen/ATen.h>

#include <cmath>

namespace gtrain::train {

double figure(const Figures& figures, const std::string& name) {
  for (const auto& [key, value] : figures) {
    if (key == name) return value;
  }
  return std::nan("");
}

at::Tensor labelled_rows(const at::Tensor& output, const data::GraphBatch& batch) {
  return batch.label_row.defined() ? output.index_select(0, batch.label_row) : output;
}

void Tally::add(double loss, std::int64_t graphs, const at::Tensor& output,
                const at::Tensor& label) {
  loss_sum_ += loss * static_cast<double>(graphs);
  graphs_ += graphs;
  outputs_.push_back(scale_->undo(output.detach()));
  labels_.push_back(label);
}

at::Tensor Tally::outputs() const { return at::cat(outputs_); }
at::Tensor Tally::labels() const { return at::cat(labels_); }

void Tally::restore(double loss_sum, std::int64_t graphs, const at::Tensor& outputs,
                    const at::Tensor& labels) {
  loss_sum_ = loss_sum;
  graphs_ = graphs;
  outputs_ = {outputs};
  labels_ = {labels};
}

Figures Tally::figures(const std::vector<Metric>& metrics) const {
  Figures out;
  out.emplace_back("loss", graphs_ > 0 ? loss_sum_ / static_cast<double>(graphs_) : std::nan(""));
  if (outputs_.empty()) return out;
  const at::Tensor output = outputs();
  const bool finite = output.isfinite().all().item<bool>();
  const Scores scores(task_, output, labels());
  for (const Metric& metric : metrics) {
    out.emplace_back(metric.name, finite ? metric.value(scores) : std::nan(""));
  }
  return out;
}

void for_each_output(
    models::Model& model, data::Loader& loader,
    const std::function<void(const data::GraphBatch&, const at::Tensor& output)>& use) {
  const at::NoGradGuard no_grad;
  model.eval();
  loader.start_epoch(1);
  while (const auto batch = loader.next()) {
    nn::Context context;
    use(*batch, model.forward(*batch, context));
  }
}

Figures evaluate_split(models::Model& model, data::Loader& loader, const LossEntry& loss,
                       const std::vector<Metric>& metrics, data::Task task,
                       const TargetScale& scale) {
  Tally tally(task, scale);
  for_each_output(model, loader, [&](const data::GraphBatch& batch, const at::Tensor& all) {
    const at::Tensor output = labelled_rows(all, batch);
    const double value = loss.value(output, scale.apply(batch.label)).item<double>();
    tally.add(value, batch.graphs, output, batch.label);
  });
  return tally.figures(metrics);
}

}  // namespace gtrain::train

#include "gtrain/train/loss.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>

#include "gtrain/base/error.h"

namespace gtrain::train {
namespace {

using at::Tensor;

// Labels in the outputs' type and shape: [R] beside [R, 1] is one column.
Tensor as_columns(const Tensor& label, const Tensor& output) {
  const Tensor typed = label.to(output.scalar_type());
  return typed.dim() < output.dim() ? typed.unsqueeze(-1) : typed;
}

// Mean of `term(output, label)` over the entries whose label is present; 0 where none is.
template <class Term>
Tensor labelled_mean(const Tensor& output, const Tensor& label, Term term) {
  const Tensor y = as_columns(label, output);
  TORCH_CHECK(y.sizes() == output.sizes(), "[loss] label has shape ", y.sizes(), "; expected ",
              output.sizes(), " as output");
  const Tensor missing = y.isnan();
  const auto labelled = y.numel() - missing.sum().item<std::int64_t>();
  if (labelled == 0) return output.sum() * 0.0;  // also of a batch without any pair
  if (labelled == y.numel()) return term(output, y).mean();
  const Tensor each = term(output, y.masked_fill(missing, 0.0)).masked_fill(missing, 0.0);
  return each.sum() / static_cast<double>(labelled);
}

Tensor l1(const Tensor& output, const Tensor& label) {
  return labelled_mean(output, label,
                       [](const Tensor& o, const Tensor& y) { return (o - y).abs(); });
}

Tensor l2(const Tensor& output, const Tensor& label) {
  return labelled_mean(output, label,
                       [](const Tensor& o, const Tensor& y) { return (o - y).square(); });
}

Tensor smooth_l1(const Tensor& output, const Tensor& label) {
  return labelled_mean(output, label, [](const Tensor& o, const Tensor& y) {
    return at::smooth_l1_loss(o, y, at::Reduction::None);
  });
}

Tensor bce(const Tensor& output, const Tensor& label) {
  return labelled_mean(output, label, [](const Tensor& o, const Tensor& y) {
    return at::binary_cross_entropy_with_logits(o, y, {}, {}, at::Reduction::None);
  });
}

// Of all positions at once: mean over rows and positions. Words outside the vocabulary are token
// V-2, and V-1 stands after the last one; rows without any word are missing.
Tensor subtoken_cross_entropy(const Tensor& output, const Tensor& label) {
  const std::int64_t positions = output.size(1), v = output.size(2);
  const std::int64_t words = std::min(positions, label.size(1));
  const Tensor missing = (label < 0).all(1, true);  // [R, 1]
  Tensor y = at::full({label.size(0), positions}, -1, label.options());
  y.narrow(1, 0, words).copy_(label.narrow(1, 0, words));
  y = y.masked_fill(y >= v, v - 2).masked_fill(y < 0, v - 1).masked_fill(missing, -1);
  if (missing.all().item<bool>()) return output.sum() * 0.0;
  return at::nll_loss(output.reshape({-1, v}).log_softmax(1), y.flatten(), {}, at::Reduction::Mean,
                      -1);
}

Tensor cross_entropy(const Tensor& output, const Tensor& label) {
  if (output.dim() == 3) return subtoken_cross_entropy(output, label);
  const Tensor y = label.reshape({-1}).to(at::kLong);
  const Tensor rows = (y >= 0).nonzero().squeeze(1);
  if (rows.numel() == 0) return output.sum() * 0.0;
  return at::nll_loss(output.log_softmax(1), y, {}, at::Reduction::Mean, -1);
}

// (V - n_c)/V for classes that occur among the labels `y`, 0 for the others.
Tensor class_weight(const Tensor& y, std::int64_t classes, const Tensor& like) {
  const Tensor count = at::bincount(y, {}, classes).to(like.scalar_type());
  const auto v = static_cast<double>(y.numel());
  return (v - count) / v * (count > 0).to(like.scalar_type());
}

Tensor weighted_binary(const Tensor& output, const Tensor& label) {
  const Tensor y = as_columns(label, output);
  const Tensor present = y.isnan().logical_not().logical_and(y >= 0);
  const Tensor o = output.masked_select(present);
  const Tensor t = y.masked_select(present);
  if (t.numel() == 0) return output.sum() * 0.0;
  const Tensor weight = class_weight(t.to(at::kLong), 2, output).index_select(0, t.to(at::kLong));
  return at::binary_cross_entropy_with_logits(o, t, weight, {}, at::Reduction::Mean);
}

Tensor weighted_cross_entropy(const Tensor& output, const Tensor& label) {
  if (output.dim() == 1 || output.size(1) == 1) return weighted_binary(output, label);
  const Tensor y = label.reshape({-1}).to(at::kLong);
  const Tensor present = y.masked_select(y >= 0);
  if (present.numel() == 0) return output.sum() * 0.0;
  const Tensor weight = class_weight(present, output.size(1), output);
  if (weight.count_nonzero().item<std::int64_t>() == 0)
    return output.sum() * 0.0;  // one class only
  return at::nll_loss(output.log_softmax(1), y, weight, at::Reduction::Mean, -1);
}

}  // namespace

std::int64_t labelled_entries(const Tensor& label) {
  if (label.is_floating_point()) return label.numel() - label.isnan().sum().item<std::int64_t>();
  const Tensor present = label >= 0;
  return (label.dim() == 2 ? present.any(1) : present).sum().item<std::int64_t>();
}

const std::vector<LossEntry>& losses() {
  static const std::vector<LossEntry> table{
      {"l1", "mean absolute error", data::is_regression, l1},
      {"l2", "mean squared error", data::is_regression, l2},
      {"smooth_l1", "Huber loss with threshold 1", data::is_regression, smooth_l1},
      {"bce", "binary cross-entropy over the labelled entries", data::is_binary, bce},
      {"cross_entropy", "softmax cross-entropy over the labelled rows",
       [](data::Task t) { return data::is_class(t) || data::is_subtoken(t); }, cross_entropy},
      {"weighted_cross_entropy", "cross-entropy that weighs rare classes of the batch up",
       [](data::Task t) { return data::is_class(t) || data::is_binary(t); },
       weighted_cross_entropy},
  };
  return table;
}

const LossEntry& find_loss(const std::string& name, data::Task task) {
  std::string known;
  for (const LossEntry& entry : losses()) {
    if (!entry.fits(task)) continue;
    if (name.empty() || entry.name == name) return entry;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", entry.name);
  }
  throw base::RecipeError(fmt::format("train.loss: '{}' does not fit the task {}; known: {}", name,
                                      data::name_of(task), known));
}

}  // namespace gtrain::train

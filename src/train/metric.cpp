#include "gtrain/train/metric.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <oneapi/tbb/parallel_for.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

#include "gtrain/base/error.h"
#include "metric_formula.h"
#include "metric_pair.h"

namespace gtrain::train {
namespace {

using formula::Column;

// The labelled rows of column c.
Column labelled(const Scores& s, std::int64_t c) {
  Column out;
  for (std::int64_t r = 0; r < s.rows; ++r) {
    const auto at = static_cast<std::size_t>(r * s.columns + c);
    if (std::isnan(s.label[at])) continue;
    out.output.push_back(s.output[at]);
    out.label.push_back(s.label[at]);
  }
  return out;
}

// Mean of f(c) over the columns for which it is defined; NaN where there is none. Columns are
// computed at once and added in their order.
template <class F>
double mean_over_columns(std::int64_t columns, F f) {
  std::vector<double> values(static_cast<std::size_t>(columns));
  tbb::parallel_for(std::size_t{0}, values.size(),
                    [&](std::size_t c) { values[c] = f(static_cast<std::int64_t>(c)); });
  double sum = 0.0;
  std::int64_t defined = 0;
  for (const double v : values) {
    if (std::isnan(v)) continue;
    sum += v;
    ++defined;
  }
  return defined > 0 ? sum / static_cast<double>(defined)
                     : std::numeric_limits<double>::quiet_NaN();
}

double column_mean(const Scores& s, double (*formula)(const Column&)) {
  return mean_over_columns(s.columns, [&](std::int64_t c) { return formula(labelled(s, c)); });
}

// Labels and predicted classes of the labelled rows.
formula::Classes classes_of(const Scores& s) {
  formula::Classes out;
  for (std::int64_t r = 0; r < s.rows; ++r) {
    if (std::isnan(s.label[static_cast<std::size_t>(r)])) continue;
    const double* row = s.output.data() + r * s.columns;
    out.label.push_back(static_cast<std::int64_t>(s.label[static_cast<std::size_t>(r)]));
    out.predicted.push_back(std::max_element(row, row + s.columns) - row);
  }
  return out;
}

// One-vs-rest area of each class's softmax score, mean over the classes.
double class_rocauc(const Scores& s) {
  return mean_over_columns(s.columns, [&](std::int64_t c) {
    Column column;
    for (std::int64_t r = 0; r < s.rows; ++r) {
      const double y = s.label[static_cast<std::size_t>(r)];
      if (std::isnan(y)) continue;
      const double* row = s.output.data() + r * s.columns;
      double total = 0.0;
      for (std::int64_t k = 0; k < s.columns; ++k) total += std::exp(row[k] - row[c]);
      column.output.push_back(1.0 / total);
      column.label.push_back(y == static_cast<double>(c) ? 1.0 : 0.0);
    }
    return formula::rocauc(column);
  });
}

template <double (*F)(const Column&)>
double by_column(const Scores& s) {
  return column_mean(s, F);
}
template <double (*OfClass)(const formula::Classes&), double (*OfColumn)(const Column&)>
double by_task(const Scores& s) {
  return data::is_class(s.task) ? OfClass(classes_of(s)) : column_mean(s, OfColumn);
}

double rocauc(const Scores& s) {
  return data::is_class(s.task) ? class_rocauc(s) : column_mean(s, formula::rocauc);
}

// Tokens of row r, without the -1 that end a row or stand for nothing.
std::vector<std::int64_t> tokens(const std::vector<double>& all, std::int64_t r,
                                 std::int64_t width) {
  std::vector<std::int64_t> out;
  for (std::int64_t i = r * width; i < (r + 1) * width; ++i) {
    const double token = all[static_cast<std::size_t>(i)];
    if (token >= 0.0) out.push_back(static_cast<std::int64_t>(token));  // NaN is none either
  }
  return out;
}

template <double SetScore::*Part>
double of_tokens(const Scores& s) {
  if (s.rows == 0) return std::numeric_limits<double>::quiet_NaN();
  const auto words = static_cast<std::int64_t>(s.label.size()) / s.rows;
  std::vector<std::vector<std::int64_t>> reference, predicted;
  for (std::int64_t r = 0; r < s.rows; ++r) {
    reference.push_back(tokens(s.label, r, words));
    predicted.push_back(tokens(s.output, r, s.columns));
  }
  return set_score(reference, predicted).*Part;
}

template <double SetScore::*Part, double (*Otherwise)(const Scores&)>
double of_sets_or(const Scores& s) {
  return data::is_subtoken(s.task) ? of_tokens<Part>(s) : Otherwise(s);
}

bool binary_or_class(data::Task t) { return data::is_binary(t) || data::is_class(t); }
bool with_tokens(data::Task t) { return binary_or_class(t) || data::is_subtoken(t); }
bool binary_or_tokens(data::Task t) { return data::is_binary(t) || data::is_subtoken(t); }
bool edge_binary(data::Task t) { return t == data::Task::kEdgeBinary; }

constexpr std::string_view kNeedsBoth = "no label column has both a 0 and a 1";
constexpr std::string_view kNeedsLabels = "no row has a label";
constexpr std::string_view kNeedsPositives = "there is no positive pair";

// Metrics of any K after their name.
constexpr std::pair<std::string_view, double (*)(std::int64_t, const Scores&)> kAnyCount[] = {
    {"hits@", hits}, {"graph_hits@", graph_hits}};

// K of a name prefix + K; 0 where it has another form.
std::int64_t count_after(const std::string& name, std::string_view prefix) {
  std::int64_t k = 0;
  if (!name.starts_with(prefix)) return 0;
  const char* end = name.data() + name.size();
  const auto parsed = std::from_chars(name.data() + prefix.size(), end, k);
  return parsed.ec == std::errc{} && parsed.ptr == end ? k : 0;
}

}  // namespace

Scores::Scores(data::Task of, const at::Tensor& out, const at::Tensor& labels) : task(of) {
  const at::Tensor o = out.detach().to(at::kDouble).contiguous();
  rows = o.size(0);
  columns = o.dim() > 1 ? o.size(1) : 1;
  at::Tensor y = labels.detach().to(at::kDouble).contiguous();
  if (!labels.is_floating_point()) y = y.masked_fill(y < 0, std::nan(""));
  const std::int64_t expected = data::is_class(task)      ? rows
                                : data::is_subtoken(task) ? y.numel()
                                                          : rows * columns;
  TORCH_CHECK(y.numel() == expected && labels.size(0) == rows, "[metric] label has ", y.numel(),
              " entries; expected ", expected, " for output ", o.sizes());
  output.assign(o.const_data_ptr<double>(), o.const_data_ptr<double>() + o.numel());
  label.assign(y.const_data_ptr<double>(), y.const_data_ptr<double>() + y.numel());
}

const std::vector<Metric>& metrics() {
  using namespace formula;
  static const std::vector<Metric> table{
      {"rocauc", "area under the ROC curve, mean over tasks", true, binary_or_class, kNeedsBoth,
       train::rocauc},
      {"ap", "average precision (step-wise), mean over tasks", true, data::is_binary, kNeedsBoth,
       by_column<average_precision>},
      {"rmse", "root mean squared error, mean over targets", false, data::is_regression,
       kNeedsLabels, by_column<rmse>},
      {"mae", "mean absolute error, mean over targets", false, data::is_regression, kNeedsLabels,
       by_column<mae>},
      {"mse", "mean squared error, mean over targets", false, data::is_regression, kNeedsLabels,
       by_column<mse>},
      {"r2", "coefficient of determination, mean over targets", true, data::is_regression,
       "no target column varies", by_column<r2>},
      {"spearman", "Spearman's rank correlation, mean over targets", true, data::is_regression,
       "no target column varies", by_column<spearman>},
      {"acc", "fraction of exact matches", true, binary_or_class, kNeedsLabels,
       by_task<class_accuracy, binary_accuracy>},
      {"f1", "macro-F1 of classes, F1 of label 1 of binary tasks, of token sets", true, with_tokens,
       kNeedsLabels, of_sets_or<&SetScore::f1, by_task<macro_f1, binary_f1>>},
      {"macro_f1", "mean F1 over the classes that occur", true, data::is_class, kNeedsLabels,
       [](const Scores& s) { return formula::macro_f1(classes_of(s)); }},
      {"accuracy_sbm", "mean recall over the classes (PATTERN, CLUSTER)", true, binary_or_class,
       kNeedsLabels, by_task<accuracy_sbm, binary_accuracy_sbm>},
      {"precision", "precision of label 1, of token sets", true, binary_or_tokens, kNeedsLabels,
       of_sets_or<&SetScore::precision, by_column<binary_precision>>},
      {"recall", "recall of label 1, of token sets", true, binary_or_tokens, kNeedsLabels,
       of_sets_or<&SetScore::recall, by_column<binary_recall>>},
      {"mrr", "mean reciprocal rank of positives among all negatives", true, edge_binary,
       kNeedsPositives, mean_reciprocal_rank},
      {"hits@10", "fraction of positives above the K-th largest negative (any K)", true,
       edge_binary, kNeedsPositives, [](const Scores& s) { return hits(10, s); }},
      {"graph_mrr", "mean reciprocal rank among the nodes of the graph (PCQM-Contact)", true,
       edge_binary, kNeedsPositives, [](const Scores& s) { return graph_rank(s, &Rank::raw); },
       true},
      {"graph_mrr_filtered", "the same, other positives of the source left out", true, edge_binary,
       kNeedsPositives, [](const Scores& s) { return graph_rank(s, &Rank::filtered); }, true},
      {"graph_mrr_extended", "the filtered one, and the source itself left out", true, edge_binary,
       kNeedsPositives, [](const Scores& s) { return graph_rank(s, &Rank::extended); }, true},
      {"graph_hits@10", "fraction of positives of rank <= K in their graph (any K)", true,
       edge_binary, kNeedsPositives, [](const Scores& s) { return graph_hits(10, s); }, true},
  };
  return table;
}

Metric find_metric(const std::string& name, data::Task task, std::string_view key) {
  std::string known;
  for (const Metric& metric : metrics()) {
    if (!metric.fits(task)) continue;
    if (metric.name == name) return metric;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", metric.name);
  }
  if (edge_binary(task)) {
    for (const auto& [prefix, value] : kAnyCount) {
      const std::int64_t k = count_after(name, prefix);
      if (k < 1) continue;
      Metric metric = find_metric(fmt::format("{}10", prefix), task);
      metric.name = name;
      metric.value = [k, f = value](const Scores& s) { return f(k, s); };
      return metric;
    }
  }
  throw base::RecipeError(fmt::format("{}: '{}' does not fit the task {}; known: {}", key, name,
                                      data::name_of(task), known));
}

std::vector<Metric> reported_metrics(const std::string& own, data::Task task) {
  std::vector<Metric> out{find_metric(own, task)};
  const std::vector<std::string> ranked{"graph_mrr",
                                        "graph_mrr_filtered",
                                        "graph_mrr_extended",
                                        "graph_hits@1",
                                        "graph_hits@3",
                                        "graph_hits@10",
                                        "ap"};
  const std::vector<std::string> usual =
      data::is_regression(task)   ? std::vector<std::string>{"mae", "rmse", "r2"}
      : data::is_class(task)      ? std::vector<std::string>{"acc", "macro_f1"}
      : data::is_subtoken(task)   ? std::vector<std::string>{"f1", "precision", "recall"}
      : own.starts_with("graph_") ? ranked
      : edge_binary(task)         ? std::vector<std::string>{"mrr", "hits@10", "rocauc", "ap"}
                                  : std::vector<std::string>{"rocauc", "ap", "acc"};
  for (const std::string& name : usual) {
    if (name != own) out.push_back(find_metric(name, task));
  }
  return out;
}

SetScore set_score(const std::vector<std::vector<std::int64_t>>& reference,
                   const std::vector<std::vector<std::int64_t>>& predicted) {
  TORCH_CHECK(reference.size() == predicted.size(), "[set_score] ", predicted.size(),
              " predictions; expected ", reference.size());
  SetScore total;
  for (std::size_t i = 0; i < reference.size(); ++i) {
    const formula::Overlap o = formula::overlap(reference[i], predicted[i]);
    total.precision += o.precision;
    total.recall += o.recall;
    total.f1 += o.f1;
  }
  const double n = std::max<double>(1.0, static_cast<double>(reference.size()));
  return {total.precision / n, total.recall / n, total.f1 / n};
}

}  // namespace gtrain::train

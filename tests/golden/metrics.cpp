// Metric values of OGB's evaluators, GraphGPS's loggers, scikit-learn and torchmetrics.
#include <map>

#include "golden/golden.h"
#include "gtrain/train/metric.h"

namespace gtrain::golden {
namespace {

using data::Task;

// Outputs that make class `predicted` the largest.
at::Tensor decided(const at::Tensor& predicted) {
  return at::one_hot(predicted.reshape(-1)).to(at::kDouble);
}

Task task_of(const std::string& name, const std::string& metric) {
  if (name.starts_with("sbm_") || metric.starts_with("acc") || name == "sklearn_macro_f1") {
    return Task::kGraphClass;
  }
  if (metric.starts_with("rocauc") || metric.starts_with("ap") || name == "binary" ||
      name == "multilabel") {
    return Task::kGraphMultilabel;
  }
  return Task::kGraphRegression;
}

train::Scores scores_of(const Case& c, const std::string& name, Task task) {
  const at::Tensor label = c.input(name + ".y_true", at::kDouble);
  const std::string classes = c.has(name + ".y_pred_class") ? ".y_pred_class" : ".y_pred";
  if (c.has(name + ".y_pred_score")) {  // probabilities: 0.5 is where the logit changes sign
    return {task, c.input(name + ".y_pred_score", at::kDouble).unsqueeze(1) - 0.5, label};
  }
  const at::Tensor pred = c.input(name + classes, at::kDouble);
  if (task == Task::kGraphClass && !pred.is_floating_point()) return {task, decided(pred), label};
  return {task, pred, label};
}

// gtrain's name of a value of the case.
std::string own_name(const std::string& key, const std::string& name) {
  static const std::map<std::string, std::string> names{{"accuracy", "acc"},
                                                        {"accuracy-SBM", "accuracy_sbm"},
                                                        {"auc", "rocauc"},
                                                        {"spearmanr", "spearman"}};
  if (key == "value") return name == "sklearn_macro_f1" ? "macro_f1" : "accuracy_sbm";
  const auto it = names.find(key);
  return it != names.end() ? it->second : key;
}

std::vector<double> doubles(const Case& c, const std::string& key) {
  const at::Tensor t = c.input(key, at::kDouble).contiguous();
  return {t.const_data_ptr<double>(), t.const_data_ptr<double>() + t.numel()};
}

double hits(const Case& c, const std::string& name, const std::string& metric) {
  return train::hits_at(std::stoll(metric.substr(5)), doubles(c, name + ".y_pred_pos"),
                        doubles(c, name + ".y_pred_neg"));
}

// Means over rows of 1/rank, or of rank <= K.
double ranked(const Case& c, const std::string& name, const std::string& key) {
  const std::vector<double> positive = doubles(c, name + ".y_pred_pos");
  const std::vector<double> negative = doubles(c, name + ".y_pred_neg");
  const std::size_t each = negative.size() / positive.size();
  double sum = 0.0;
  for (std::size_t i = 0; i < positive.size(); ++i) {
    const double r = train::reciprocal_rank(positive[i], negative.data() + i * each, each);
    sum += key.starts_with("hits@") ? (1.0 / r <= std::stod(key.substr(5)) ? 1.0 : 0.0) : r;
  }
  return sum / static_cast<double>(positive.size());
}

using Tokens = std::vector<std::vector<std::int64_t>>;
Tokens tokens(const nlohmann::json& samples, std::map<std::string, std::int64_t>& ids) {
  Tokens out;
  for (const auto& sample : samples) {
    out.emplace_back();
    for (const auto& token : sample) {
      out.back().push_back(
          ids.emplace(token.get<std::string>(), static_cast<std::int64_t>(ids.size()))
              .first->second);
    }
  }
  return out;
}

double token_score(const nlohmann::json& entry, const std::string& key) {
  std::map<std::string, std::int64_t> ids;
  const train::SetScore s =
      train::set_score(tokens(entry.at("seq_ref"), ids), tokens(entry.at("seq_pred"), ids));
  return key == "precision" ? s.precision : key == "recall" ? s.recall : s.f1;
}

}  // namespace

void check_metrics(const Case& c, Checker& checker) {
  for (const auto& entry : c.info().at("values")) {
    const std::string name = entry.at("name").get<std::string>();
    const std::string metric = entry.at("metric").get<std::string>();
    for (const auto& [key, want] : entry.at("value").items()) {
      double got = 0.0;
      if (entry.contains("seq_ref")) {
        got = token_score(entry, key);
      } else if (metric.starts_with("hits@")) {
        got = hits(c, name, metric);
      } else if (metric.starts_with("mrr")) {
        got = ranked(c, name, key);
      } else {
        const Task task = task_of(name, metric);
        got = train::find_metric(own_name(key, name), task).value(scores_of(c, name, task));
      }
      // Loggers round to 12 digits after computing in float32; evaluators compute in double.
      const bool single = metric.starts_with("classification") || metric == "regression" ||
                          metric.starts_with("mrr");
      checker.close(name + "." + key, got, want.get<double>(),
                    {single ? 1e-6 : 1e-12, single ? 1e-5 : 0.0});
    }
  }
}

}  // namespace gtrain::golden

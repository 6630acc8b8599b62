#include "table_figure.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/math/distributions/students_t.hpp>
#include <cmath>

#include "gtrain/base/durable.h"
#include "gtrain/train/metric.h"
#include "result.h"

namespace gtrain::train {
namespace {

namespace fs = std::filesystem;

std::optional<double> number_in(const Json& json, const char* key) {
  if (!json.contains(key) || !json[key].is_number()) return {};
  return json[key].get<double>();
}

// The metric on the split; nothing where it is not defined.
std::optional<double> value_in(const Json& result, const Table& table, std::string& metric) {
  metric = table.metric;
  if (metric.empty() && result.contains("metric") && result["metric"].is_string()) {
    metric = result["metric"].get<std::string>();
  }
  if (!result.contains(table.split)) return {};
  return number_in(result[table.split], metric.c_str());
}

std::optional<PublishedFigure> published_of(const TableRow& row, const std::string& metric) {
  if (!row.published) return {};
  const auto& values = row.published->values;
  const auto value = [&](const std::string& key) {
    const auto it = values.find(key);
    return it == values.end() ? kUnknown : it->second;
  };
  if (std::isnan(value(metric))) return {};
  PublishedFigure out;
  out.spread = {value(metric), value("std"), 0};
  if (const double runs = value("runs"); !std::isnan(runs)) out.spread.n = std::llround(runs);
  out.parameters = value("parameters");
  out.source = row.published->source;
  out.retrained = row.retrained;
  return out;
}

// Means of what each finished run costs.
struct Costs {
  std::vector<double> epoch_seconds, seconds, peak_bytes, flops, sparse_flops;

  void add(const fs::path& directory, const Json& result) {
    const fs::path log = directory / "metrics.jsonl";
    const double epochs = number_in(result, "epochs").value_or(0.0);
    if (fs::exists(log) && epochs > 0) {
      epoch_seconds.push_back(times_in(base::read_file(log)).train / epochs);
    }
    if (const auto s = number_in(result, "seconds")) seconds.push_back(*s);
    if (const auto b = number_in(result, "peak_rss_bytes")) peak_bytes.push_back(*b);
    if (const auto f = number_in(result, "flops_per_graph")) flops.push_back(*f);
    if (const auto f = number_in(result, "sparse_flops_per_graph")) sparse_flops.push_back(*f);
  }
};

void add_run(const Table& table, const RowRuns& runs, const Member& member, RowFigures& out,
             Costs& costs) {
  const RunState state = state_of(runs, member);
  const auto problem = runs.problems.find(member.directory);
  if (problem != runs.problems.end()) {
    out.failed.push_back(fmt::format("{}: {}", member.directory, problem->second));
    return;
  }
  if (state == RunState::kMissing || state == RunState::kBegun) {
    out.pending.push_back(member.directory);
    return;
  }
  const fs::path directory = runs.directory / member.directory;
  const Json result = read_json(directory / "result.json");
  if (const auto p = number_in(result, "parameters")) out.parameters = *p;
  if (state == RunState::kDiverged) {
    const std::string why = result.value("problem", "diverged");
    out.failed.push_back(fmt::format("{}: {}", member.directory, why));
    return;
  }
  costs.add(directory, result);
  const std::optional<double> value = value_in(result, table, out.metric);
  if (value) {
    out.runs.push_back(member.directory);
    out.values.push_back(*value);
  } else {
    out.failed.push_back(fmt::format("{}: {} is not known on {}", member.directory,
                                     out.metric.empty() ? "the metric" : out.metric, table.split));
  }
}

}  // namespace

Spread spread_of(const std::vector<double>& values) {
  Spread out;
  out.n = static_cast<std::int64_t>(values.size());
  if (values.empty()) return out;
  const double n = static_cast<double>(values.size());
  double sum = 0.0, squares = 0.0;
  for (const double v : values) sum += v;
  out.mean = sum / n;
  for (const double v : values) squares += (v - out.mean) * (v - out.mean);
  if (values.size() > 1) out.deviation = std::sqrt(squares / (n - 1.0));
  return out;
}

double distance(const Spread& own, const Spread& published) {
  const double difference = own.mean - published.mean;
  if (std::isnan(difference)) return kUnknown;
  const bool spread_known = !std::isnan(published.deviation);
  const double s = own.n > 1 ? own.deviation : published.deviation;
  double variance = s * s / static_cast<double>(own.n);
  if (spread_known) {
    const auto runs = static_cast<double>(published.n > 0 ? published.n : 1);
    variance += published.deviation * published.deviation / runs;
  }
  if (std::isnan(variance) || difference == 0.0) return std::isnan(variance) ? kUnknown : 0.0;
  return difference / std::sqrt(variance);  // infinite where nothing ever spreads
}

bool is_maximised(const std::string& metric) {
  const std::string_view hits = "hits@";
  const auto& all = metrics();
  const auto it = std::find_if(all.begin(), all.end(), [&](const Metric& m) {
    return m.name == metric ||
           (metric.find(hits) != std::string::npos &&
            m.name.substr(0, m.name.find('@')) == metric.substr(0, metric.find('@')));
  });
  return it != all.end() && it->maximise;
}

PairedFigure paired_of(const std::vector<double>& differences, bool maximise) {
  const Spread spread = spread_of(differences);
  PairedFigure out{{}, spread.mean, kUnknown, kUnknown, kUnknown, spread.n};
  if (spread.n < 2) return out;
  const auto n = static_cast<double>(spread.n);
  const boost::math::students_t student(n - 1.0);
  const double error = spread.deviation / std::sqrt(n);
  const double half = boost::math::quantile(student, 0.975) * error;
  out.low = out.mean - half;
  out.high = out.mean + half;
  out.worse = (maximise ? -out.mean : out.mean) + boost::math::quantile(student, 0.95) * error;
  return out;
}

PairedFigure paired_of(const RowFigures& own, const RowFigures& other) {
  std::vector<double> differences;
  for (std::size_t i = 0; i < own.runs.size(); ++i) {
    const auto it = std::find(other.runs.begin(), other.runs.end(), own.runs[i]);
    if (it == other.runs.end()) continue;
    differences.push_back(own.values[i] -
                          other.values[static_cast<std::size_t>(it - other.runs.begin())]);
  }
  PairedFigure out = paired_of(differences, is_maximised(own.metric));
  out.against = other.label;
  return out;
}

RowFigures figures_of(const Table& table, const TableRow& row, const RowRuns& runs) {
  RowFigures out;
  out.label = row.label;
  const data::DatasetOptions& dataset = row.recipe.dataset;
  out.data = !dataset.name.empty() ? dataset.name : fs::path(dataset.path).filename().string();
  out.metric = table.metric;
  out.wanted = static_cast<std::int64_t>(runs.members.size());
  out.directory = runs.directory.string();
  if (const auto whole = runs.problems.find(""); whole != runs.problems.end()) {
    out.failed.push_back(whole->second);
    return out;
  }
  Costs costs;
  for (const Member& member : runs.members) add_run(table, runs, member, out, costs);
  out.spread = spread_of(out.values);
  out.epoch_seconds = spread_of(costs.epoch_seconds).mean;
  out.seconds = spread_of(costs.seconds).mean;
  out.flops = spread_of(costs.flops).mean;
  out.sparse_flops = spread_of(costs.sparse_flops).mean;
  for (const double bytes : costs.peak_bytes) out.peak_bytes = std::fmax(out.peak_bytes, bytes);
  out.published = published_of(row, out.metric);
  if (out.published) out.distance = distance(out.spread, out.published->spread);
  return out;
}

StaleFigures figures_of(const Table& table, const TableRuns::Stale& stale) {
  StaleFigures out{stale.label, stale.reason, stale.directory.string(), {}};
  std::vector<double> values;
  for (const std::string& run : stale.runs) {
    std::string metric;
    const Json result = read_json(stale.directory / run / "result.json");
    if (result.value("status", "") != "ok") continue;
    if (const auto value = value_in(result, table, metric)) values.push_back(*value);
  }
  out.spread = spread_of(values);
  return out;
}

}  // namespace gtrain::train

// Tables with every digit, for programs: CSV and JSON.
#include <fmt/format.h>

#include <cmath>
#include <string>
#include <vector>

#include "gtrain/train/recipe_scalar.h"
#include "result.h"
#include "table_text.h"

namespace gtrain::train {
namespace {

using Cells = std::vector<std::string>;

std::string csv_cell(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

Json json_number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json json_of(const Spread& spread) {
  return {
      {"mean", json_number(spread.mean)}, {"std", json_number(spread.deviation)}, {"n", spread.n}};
}

Json json_of(const InferenceFigures& figures) {
  Json out{{"graphs", figures.graphs}, {"seconds_per_graph", figures.seconds}};
  if (figures.pruned_seconds) {
    out["pruned"] = {{"seconds_per_graph", *figures.pruned_seconds},
                     {"flops_per_graph", figures.pruned_flops},
                     {"parameters", figures.pruned_parameters}};
  }
  if (!figures.not_pruned.empty()) out["not_pruned"] = figures.not_pruned;
  if (figures.against_seconds) out["against_seconds_per_graph"] = *figures.against_seconds;
  return out;
}

Json json_of(const RowFigures& row, const std::string& split) {
  Json out{{"row", row.label}, {"data", row.data}, {"metric", row.metric}, {"split", split}};
  out.update(json_of(row.spread));
  out["values"] = row.values;
  out["wanted"] = row.wanted;
  out["failed"] = row.failed;
  out["to_go"] = row.pending;
  if (row.published) {
    Json p = json_of(row.published->spread);
    if (row.published->spread.n == 0) p["n"] = nullptr;
    p["parameters"] = json_number(row.published->parameters);
    p["source"] = row.published->source;
    p["same_training"] = !row.published->retrained;
    out["published"] = p;
    out["distance_se"] = json_number(row.distance);
    out["differs"] = std::isnan(row.distance) ? Json(nullptr) : Json(std::abs(row.distance) > 2.0);
  }
  if (row.paired) {
    out["paired"] = {{"against", row.paired->against},
                     {"mean", json_number(row.paired->mean)},
                     {"low", json_number(row.paired->low)},
                     {"high", json_number(row.paired->high)},
                     {"worse_at_most", json_number(row.paired->worse)},
                     {"n", row.paired->n}};
  }
  out["parameters"] = json_number(row.parameters);
  out["flops_per_graph"] = json_number(row.flops);
  if (!std::isnan(row.sparse_flops)) out["sparse_flops_per_graph"] = row.sparse_flops;
  if (row.inference) out["inference"] = json_of(*row.inference);
  out["seconds_per_epoch"] = json_number(row.epoch_seconds);
  out["seconds"] = json_number(row.seconds);
  out["peak_bytes"] = json_number(row.peak_bytes);
  out["directory"] = row.directory;
  return out;
}

}  // namespace

std::string table_csv(const FilledTable& table) {
  const auto digits = [](double v) { return std::isnan(v) ? std::string() : print_number(v); };
  std::string out = fmt::format(
      "row,data,metric,{}_mean,std,runs,wanted,failed,published,published_std,published_runs,"
      "source,distance_se,parameters,published_parameters,seconds_per_epoch,seconds,peak_bytes,"
      "against,difference,low,high,pairs,worse_at_most,flops,sparse_flops,inference_seconds,"
      "pruned_seconds,against_seconds\n",
      table.split);
  for (const RowFigures& row : table.rows) {
    const PublishedFigure p = row.published.value_or(PublishedFigure{});
    const PairedFigure pair = row.paired.value_or(PairedFigure{});
    const std::optional<InferenceFigures>& time = row.inference;
    const Cells cells{row.label,
                      row.data,
                      row.metric,
                      digits(row.spread.mean),
                      digits(row.spread.deviation),
                      std::to_string(row.spread.n),
                      std::to_string(row.wanted),
                      std::to_string(row.failed.size()),
                      digits(p.spread.mean),
                      digits(p.spread.deviation),
                      p.spread.n > 0 ? std::to_string(p.spread.n) : "",
                      p.source,
                      std::isinf(row.distance) ? "inf" : digits(row.distance),
                      digits(row.parameters),
                      digits(p.parameters),
                      digits(row.epoch_seconds),
                      digits(row.seconds),
                      digits(row.peak_bytes),
                      pair.against,
                      digits(pair.mean),
                      digits(pair.low),
                      digits(pair.high),
                      row.paired ? std::to_string(pair.n) : "",
                      digits(pair.worse),
                      digits(row.flops),
                      digits(row.sparse_flops),
                      digits(time ? time->seconds : kUnknown),
                      digits(time ? time->pruned_seconds.value_or(kUnknown) : kUnknown),
                      digits(time ? time->against_seconds.value_or(kUnknown) : kUnknown)};
    for (std::size_t i = 0; i < cells.size(); ++i) out += (i == 0 ? "" : ",") + csv_cell(cells[i]);
    out += "\n";
  }
  return out;
}

std::string table_json(const FilledTable& table) {
  Json rows = Json::array(), stale = Json::array();
  for (const RowFigures& row : table.rows) rows.push_back(json_of(row, table.split));
  for (const StaleFigures& s : table.stale) {
    Json entry{{"row", s.label}, {"reason", s.reason}, {"directory", s.directory}};
    entry.update(json_of(s.spread));
    stale.push_back(entry);
  }
  const Json out{
      {"title", table.title}, {"rows", rows}, {"stale", stale}, {"versions", versions()}};
  return out.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace gtrain::train

#include "table_inference.h"

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <span>

#include "gtrain/base/error.h"
#include "gtrain/base/log.h"
#include "gtrain/train/prune_run.h"
#include "predict.h"
#include "result.h"
#include "spread.h"

namespace gtrain::train {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kGraphs = 1024;
constexpr int kPasses = 7;

// A run's model with the batches that it reads.
struct Runner {
  Selected run;
  Material material;
  std::vector<data::GraphBatch> batches;
  std::vector<double> fastest;  // seconds of each batch

  Runner(const fs::path& directory, const models::Zoo& zoo) : run(load_selected(directory, zoo)) {
    material = prepare(run.recipe);
    const data::Dataset& dataset = material.dataset();
    if (dataset.single_graph()) {
      const std::int64_t only = 0;
      batches.push_back(data::collate(dataset, material.encodings, {&only, 1}));
    } else {
      const data::Split& split = material.split;
      const std::vector<std::int64_t> ids =
          spread(split.test.empty() ? split.train : split.test, kGraphs);
      const auto size = static_cast<std::size_t>(run.recipe.dataset.batch_size);
      for (std::size_t i = 0; i < ids.size(); i += size) {
        const std::span<const std::int64_t> part(ids.data() + i, std::min(size, ids.size() - i));
        batches.push_back(data::collate(dataset, material.encodings, part));
      }
    }
    fastest.assign(batches.size(), std::numeric_limits<double>::infinity());
  }

  void pass(std::size_t batch) {
    if (batch >= batches.size()) return;
    nn::Context context;
    const auto start = std::chrono::steady_clock::now();
    run.model->forward(batches[batch], context);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    fastest[batch] = std::min(fastest[batch], took.count());
  }

  std::int64_t graphs() const {
    std::int64_t out = 0;
    for (const data::GraphBatch& batch : batches) out += batch.graphs;
    return out;
  }

  double seconds() const {
    double sum = 0;
    for (const double s : fastest) sum += s;
    return sum / static_cast<double>(std::max<std::int64_t>(1, graphs()));
  }
};

// Finished runs of one seed and fold, so that both read the same graphs.
struct Pair {
  fs::path run, against;  // empty: none
};

// The first run of the row that has finished, of those that `against` has finished, too.
Pair first_pair(const RowRuns& row, const RowRuns* against) {
  Pair out;
  for (const Member& member : row.members) {
    if (state_of(row, member) != RunState::kDone) continue;
    if (out.run.empty()) out.run = row.directory / member.directory;
    if (against == nullptr) break;
    for (const Member& other : against->members) {
      if (other.directory != member.directory || state_of(*against, other) != RunState::kDone) {
        continue;
      }
      return {row.directory / member.directory, against->directory / other.directory};
    }
  }
  return out;
}

// The pruned run beside `run`; empty, and the reason, where nothing can be cut.
fs::path pruned_of(const fs::path& run, const models::Zoo& zoo, std::string& why) {
  const fs::path out = run / "pruned";
  if (fs::exists(out / "prune.json")) {
    // Files of a gtrain that wrote no hash are taken to be of this run.
    const std::string own = result_hash(run);
    if (read_json(out / "prune.json").value("result", own) == own) return out;
    why = fmt::format("{} is of the run that lay here before; remove it", out.string());
    return {};
  }
  try {
    prune_run(run, out, zoo);
    return out;
  } catch (const base::RecipeError& e) {
    why = e.what();
    const std::string where = run.string() + ": ";
    if (why.starts_with(where)) why = why.substr(where.size());
    return {};
  }
}

double number_in(const Json& json, const char* key) {
  return json.contains(key) && json[key].is_number() ? json[key].get<double>() : 0;
}

}  // namespace

std::vector<double> seconds_side_by_side(const std::vector<fs::path>& runs, const models::Zoo& zoo,
                                         std::int64_t& graphs) {
  const at::NoGradGuard no_grad;
  std::vector<Runner> runners;
  for (const fs::path& run : runs) runners.emplace_back(run, zoo);
  std::size_t batches = 0;
  for (const Runner& r : runners) batches = std::max(batches, r.batches.size());
  for (int pass = 0; pass < kPasses; ++pass) {
    for (std::size_t b = 0; b < batches; ++b) {
      for (Runner& r : runners) r.pass(b);
    }
  }
  std::vector<double> out;
  for (const Runner& r : runners) out.push_back(r.seconds());
  graphs = runners.empty() ? 0 : runners.front().graphs();
  return out;
}

void measure_inference(const RowRuns& row, const RowRuns* against, const models::Zoo& zoo) {
  const auto [run, pair] = first_pair(row, against);
  if (run.empty()) return;
  const fs::path path = run / "inference.json";
  const Json measured = {{"run", result_hash(run)},
                         {"against", pair.empty() ? "" : result_hash(pair)}};
  if (fs::exists(path) && read_json(path).value("measured", Json()) == measured) return;
  base::note(fmt::format("{}: measuring inference", row.label));
  std::string why;
  const fs::path pruned = row.recipe.sparsify ? pruned_of(run, zoo, why) : fs::path();
  std::vector<fs::path> all{run};
  if (!pruned.empty()) all.push_back(pruned);
  if (!pair.empty()) all.push_back(pair);
  std::int64_t graphs = 0;
  const std::vector<double> seconds = seconds_side_by_side(all, zoo, graphs);
  Json out{{"measured", measured}, {"graphs", graphs}, {"seconds_per_graph", seconds.front()}};
  if (!pruned.empty()) {
    const Json after = read_json(pruned / "prune.json").value("after", Json::object());
    out["pruned"] = {{"seconds_per_graph", seconds[1]},
                     {"flops_per_graph", number_in(after, "flops_per_graph")},
                     {"parameters", number_in(after, "parameters")}};
  }
  if (!why.empty()) out["not_pruned"] = why;
  if (!pair.empty()) out["against_seconds_per_graph"] = seconds.back();
  write_json(path, out);
}

std::optional<InferenceFigures> inference_of(const RowRuns& row, const RowRuns* against) {
  const auto [run, pair] = first_pair(row, against);
  if (run.empty() || !fs::exists(run / "inference.json")) return {};
  const Json json = read_json(run / "inference.json");
  const Json measured = json.value("measured", Json::object());
  if (measured.value("run", "") != result_hash(run)) return {};
  InferenceFigures out;
  out.graphs = static_cast<std::int64_t>(number_in(json, "graphs"));
  out.seconds = number_in(json, "seconds_per_graph");
  if (json.contains("pruned") && json["pruned"].is_object()) {
    out.pruned_seconds = number_in(json["pruned"], "seconds_per_graph");
    out.pruned_flops = number_in(json["pruned"], "flops_per_graph");
    out.pruned_parameters = number_in(json["pruned"], "parameters");
  }
  if (!pair.empty() && measured.value("against", "") == result_hash(pair)) {
    out.against_seconds = number_in(json, "against_seconds_per_graph");
  }
  out.not_pruned = json.value("not_pruned", "");
  return out;
}

}  // namespace gtrain::train

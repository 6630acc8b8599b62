#include <c10/core/Allocator.h>
#include <c10/util/Flags.h>
#include <c10/util/Logging.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "gtrain/base/log.h"
#include "gtrain/models/zoo.h"
#include "gtrain/ops/meta.h"
#include "gtrain/sparsify/compact.h"
#include "gtrain/sparsify/sparsity.h"
#include "gtrain/train/build.h"
#include "gtrain/train/origin.h"
#include "train/flop_report.h"
#include "train/meta_run.h"
#include "train/profile.h"

C10_DECLARE_int(caffe2_log_level);

namespace gtrain::train {
namespace {

constexpr std::int64_t kCounted = 512;  // graphs
constexpr std::int64_t kFewest = 2;     // steps timed, at least
constexpr double kMeasured = 1.5;       // seconds they may take together

// Bytes that ATen's CPU allocator holds above its level at the start, at their highest.
class MemoryPeak final : public c10::MemoryReportingInfoBase {
 public:
  void reportMemoryUsage(void*, std::int64_t change, std::size_t, std::size_t,
                         c10::Device) override {
    held_ += change;
    peak_ = std::max(peak_, held_);
  }
  bool memoryProfilingEnabled() const override { return true; }
  std::int64_t peak() const { return peak_; }

 private:
  std::int64_t held_ = 0, peak_ = 0;
};

// ATen's allocator warns of every block from before the count began; here that is no news.
class QuietAllocator {
 public:
  QuietAllocator() : before_(FLAGS_caffe2_log_level) { FLAGS_caffe2_log_level = 2; }
  ~QuietAllocator() { FLAGS_caffe2_log_level = before_; }
  QuietAllocator(const QuietAllocator&) = delete;
  QuietAllocator& operator=(const QuietAllocator&) = delete;

 private:
  int before_;
};

std::string size_text(double bytes) {
  for (const char* unit : {"B", "KiB", "MiB"}) {
    if (bytes < 1024.0) return fmt::format("{:.1f} {}", bytes, unit);
    bytes /= 1024.0;
  }
  return fmt::format("{:.2f} GiB", bytes);
}

// What an epoch goes through.
struct Workload {
  std::string text;
  double graphs = 0, batches = 0;
};

Workload workload_of(const Recipe& recipe, const Material& material, std::int64_t batches,
                     std::int64_t stands_for) {
  const data::Dataset& d = material.dataset();
  const data::Split& split = material.split;
  if (stands_for > 1 && !d.single_graph()) {
    const auto graphs = static_cast<double>(stands_for);
    return {fmt::format("{} in all; which of them train is not known here, so all are counted",
                        stands_for),
            graphs, std::ceil(graphs / static_cast<double>(recipe.dataset.batch_size))};
  }
  return {fmt::format("{} train, {} valid, {} test", split.train.size(), split.valid.size(),
                      split.test.size()),
          static_cast<double>(d.single_graph() ? 1 : split.train.size()),
          static_cast<double>(batches)};
}

double weight_bytes(const models::Model& model) {
  double bytes = 0;
  for (const at::Tensor& p : model.parameters()) bytes += static_cast<double>(p.nbytes());
  return bytes;
}

// What a step keeps and needs before it is made; empty where that depends on numbers.
std::string memory_of(const Recipe& recipe, const Material& material, EpochLoop& loop) {
  if (!ops::has_meta()) return "";
  const data::GraphBatch batch = loop.first_batch();
  const auto model = build_model(recipe, material.signature);
  MetaRun run;
  try {
    run = run_on_meta(*model, batch);
  } catch (const c10::Error& e) {
    base::warn(fmt::format("not counted on the meta device: {}", e.what_without_backtrace()));
    return "";
  }
  for (const std::string& stray : run.strays) base::warn("on another device: " + stray);
  const double state = loop.state_bytes() - 2 * weight_bytes(*model);  // of the optimizer alone
  return fmt::format("; {} kept for the backward, {} at most (counted on the first batch)",
                     size_text(run.kept_bytes), size_text(run.peak_bytes + state));
}

// What training one model costs.
struct Cost {
  std::int64_t parameters = 0;
  FlopReport flops;
  double state = 0, peak = 0;  // bytes
  std::int64_t steps = 0;      // measured
  double step = 0;             // seconds
};

double total(const Phases& p) { return p.load + p.forward + p.backward + p.update; }

Cost cost_of(const Recipe& recipe, const Material& material, models::Model& model) {
  EpochLoop loop(recipe, material, model, recipe.repeat.seeds.front());
  Cost out;
  const auto peak = std::make_shared<MemoryPeak>();
  {
    const QuietAllocator quiet;
    const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, peak);
    loop.measure(kFewest);  // they also fill caches; the next ones are timed
  }
  const double first = total(loop.measure(kFewest)) / static_cast<double>(kFewest);
  const auto more = static_cast<std::int64_t>(kMeasured / std::max(first, 1e-6));
  out.steps = std::clamp(more, kFewest, std::max(kFewest, loop.batches()));
  out.step = total(loop.measure(out.steps)) / static_cast<double>(out.steps);
  out.parameters = models::parameter_count(model);
  out.state = loop.state_bytes();
  out.peak = static_cast<double>(peak->peak());
  out.flops = count_flops(model, recipe, material, kCounted);
  return out;
}

// The rules as they are in the end, from the start on.
Recipe settled_rules(Recipe recipe) {
  for (sparsify::Rule& rule : recipe.sparsify->rules) {
    sparsify::Timing& timing = sparsify::timing_of(rule);
    timing.start = timing.end = 0;
    if (auto* weights = std::get_if<sparsify::WeightRule>(&rule)) weights->quirks.clear();
  }
  return recipe;
}

// A recipe with rules: what it costs without them, as they leave the model in the end, and once
// what they leave is cut out. Weights are not trained.
struct Column {
  const char* name;
  Cost cost;
};

std::shared_ptr<models::Model> fresh_model(const Recipe& recipe, const Material& material) {
  const auto model = build_model(recipe, material.signature);
  models::initialise(*model, static_cast<std::uint64_t>(recipe.repeat.seeds.front()));
  begin_with(*model, recipe.init, recipe.init && origin_exists(*recipe.init), *recipe.zoo);
  return model;
}

std::vector<Column> sparse_columns(const Recipe& recipe, const Material& material) {
  std::vector<Column> out;
  Recipe dense = recipe;
  dense.sparsify.reset();
  const auto plain = fresh_model(dense, material);
  out.push_back({"dense", cost_of(dense, material, *plain)});
  Recipe now = settled_rules(recipe);
  const auto masked = fresh_model(now, material);
  out.push_back({"made sparse", cost_of(now, material, *masked)});
  if (sparsify::compact(*masked).empty()) return out;
  std::erase_if(now.sparsify->rules, [](const sparsify::Rule& rule) {
    return !std::holds_alternative<sparsify::TokenRule>(rule);
  });
  if (now.sparsify->rules.empty()) now.sparsify.reset();
  out.push_back({"pruned", cost_of(now, material, *masked)});
  return out;
}

std::string sparse_table(const std::vector<Column>& columns, double batches) {
  std::string out = fmt::format("{:<20}", "");
  const auto row = [&](const char* name, const auto& text) {
    out += fmt::format("\n{:<20}", name);
    for (const Column& c : columns) out += fmt::format(" {:>13}", text(c.cost));
  };
  for (const Column& c : columns) out += fmt::format(" {:>13}", c.name);
  row("  parameters", [](const Cost& c) { return fmt::format("{}", c.parameters); });
  row("  FLOPs a graph",
      [](const Cost& c) { return fmt::format("{:.4g}", c.flops.total().total()); });
  row("    without zeros", [&](const Cost& c) {
    const double dense = columns.front().cost.flops.total().total();
    return fmt::format("{:.1f} %", 100 * c.flops.total().sparse() / dense);
  });
  row("  memory of a step", [](const Cost& c) { return size_text(c.peak); });
  row("  time of an epoch", [&](const Cost& c) { return duration_text(c.step * batches); });
  return out + "\n";
}

// Seconds of one run: until the first rule starts a step costs what it does without rules, from the
// last one's end on what it does with them, and in between something in between.
double run_seconds(const Recipe& recipe, const std::vector<Column>& columns, double batches,
                   double epochs) {
  const double updates = std::max(1.0, batches / static_cast<double>(recipe.train.accumulate));
  double first = epochs, last = 0;
  for (const sparsify::Rule& rule : recipe.sparsify->rules) {
    const sparsify::Timing& t = sparsify::timing_of(rule);
    const double unit = t.unit == "epoch" ? 1 : 1 / updates;
    first = std::min(first, static_cast<double>(t.start) * unit);
    last = std::max(last, static_cast<double>(std::max(t.start, t.end)) * unit);
  }
  last = std::min(last, epochs);
  const double dense = columns[0].cost.step, sparse = columns[1].cost.step;
  return batches *
         (first * dense + (last - first) * (dense + sparse) / 2 + (epochs - last) * sparse);
}

std::string flop_text(const Recipe& recipe, const FlopReport& report, double graphs) {
  const double each = report.total().total();
  const auto passes = 3.0 * static_cast<double>(recipe.train.flag ? recipe.train.flag->steps : 1);
  return fmt::format(
      "FLOPs                {:.4g} a graph (forward; counted on {} of them), {:.3g} an epoch of "
      "training ({} forwards a step)\n{}",
      each, report.graphs, passes * each * graphs, passes, flop_table(report));
}

}  // namespace

std::string plan_text(const Recipe& recipe, const Material& material, models::Model& model,
                      std::int64_t stands_for) {
  EpochLoop loop(recipe, material, model, recipe.repeat.seeds.front());
  const std::string memory = memory_of(recipe, material, loop);
  std::vector<Column> columns;
  if (recipe.sparsify) {
    columns = sparse_columns(recipe, material);
  } else {
    columns.push_back({"", cost_of(recipe, material, model)});
  }
  const Cost& cost = columns.front().cost;
  const Workload work = workload_of(recipe, material, loop.batches(), stands_for);
  const auto epochs = static_cast<double>(loop.epochs());
  const double once = recipe.sparsify ? run_seconds(recipe, columns, work.batches, epochs)
                                      : cost.step * work.batches * epochs;
  const auto runs = static_cast<double>(std::max<std::size_t>(1, recipe.repeat.seeds.size()) *
                                        std::max<std::size_t>(1, recipe.repeat.folds.size()));
  const char* of = recipe.sparsify ? " without rules" : "";
  std::string out;
  out += fmt::format("parameters           {}{}\n", cost.parameters, of);
  out += fmt::format("graphs               {}\n", work.text);
  out += fmt::format("batches              {} an epoch, {} epochs\n", work.batches, loop.epochs());
  out += flop_text(recipe, cost.flops, work.graphs);
  out += fmt::format(
      "memory               {} weights, gradients and optimizer{}; {} at the peak of "
      "a step (measured on the first batches)\n",
      size_text(cost.state), memory, size_text(cost.peak));
  out += fmt::format(
      "time                 {} an epoch of training{} (measured on {} steps), {} in "
      "all, evaluation not counted\n",
      duration_text(cost.step * work.batches), of, cost.steps, duration_text(once * runs));
  if (recipe.sparsify) out += sparse_table(columns, work.batches);
  return out;
}

}  // namespace gtrain::train

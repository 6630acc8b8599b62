#include "profile.h"

#include <ATen/ATen.h>
#include <ATen/record_function.h>
#include <c10/core/Allocator.h>
#include <c10/util/Flags.h>
#include <c10/util/Logging.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "flop_report.h"
#include "gtrain/base/log.h"
#include "gtrain/models/zoo.h"
#include "gtrain/ops/meta.h"
#include "gtrain/sparsify/sparsity.h"
#include "gtrain/train/build.h"
#include "meta_run.h"

C10_DECLARE_int(caffe2_log_level);

namespace gtrain::train {
namespace {

using Clock = std::chrono::steady_clock;

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

// Own time of every operator on the calling thread: its span less those inside it.
struct OperatorTimes {
  struct Row {
    double seconds = 0.0;
    std::int64_t calls = 0;
  };
  struct Frame {
    Clock::time_point start;
    double inside = 0.0;
  };
  std::map<std::string, Row> rows;
  std::vector<Frame> stack;
};
thread_local OperatorTimes* recording = nullptr;

// "LinearFunction backward" for torch::autograd::CppNode<gtrain::ops::…::LinearFunction>.
std::string short_name(std::string name) {
  constexpr std::string_view kNode = "CppNode<";
  const bool node = name.find(kNode) != std::string::npos;
  const bool engine = name.starts_with("autograd::engine::");
  if (node) {
    const std::size_t end = name.rfind('>');
    const std::size_t begin = name.rfind("::", end);
    name = name.substr(begin + 2, end - begin - 2) + " backward";
  } else if (engine) {
    name = name.substr(name.rfind(' ') + 1);
  }
  return engine ? "around " + name : name;
}

std::unique_ptr<at::ObserverContext> operator_starts(const at::RecordFunction&) {
  if (recording != nullptr) recording->stack.push_back({Clock::now(), 0.0});
  return nullptr;
}

void operator_ends(const at::RecordFunction& f, at::ObserverContext*) {
  if (recording == nullptr || recording->stack.empty()) return;
  const OperatorTimes::Frame frame = recording->stack.back();
  recording->stack.pop_back();
  const double span = std::chrono::duration<double>(Clock::now() - frame.start).count();
  OperatorTimes::Row& row = recording->rows[short_name(f.name())];
  row.seconds += span - frame.inside;
  row.calls += 1;
  if (!recording->stack.empty()) recording->stack.back().inside += span;
}

std::string size_text(double bytes) {
  for (const char* unit : {"B", "KiB", "MiB"}) {
    if (bytes < 1024.0) return fmt::format("{:.1f} {}", bytes, unit);
    bytes /= 1024.0;
  }
  return fmt::format("{:.2f} GiB", bytes);
}

std::string phase_table(const Phases& p, std::int64_t steps) {
  const double total = p.load + p.forward + p.backward + p.update;
  std::string out = fmt::format("{:<10} {:>10} {:>7}\n", "phase", "ms/step", "share");
  const std::pair<const char*, double> rows[] = {
      {"load", p.load}, {"forward", p.forward}, {"backward", p.backward}, {"optimizer", p.update}};
  for (const auto& [name, seconds] : rows) {
    out += fmt::format("{:<10} {:>10.3f} {:>6.1f}%\n", name,
                       1e3 * seconds / static_cast<double>(steps), 100.0 * seconds / total);
  }
  return out + fmt::format("{:<10} {:>10.3f}\n", "step", 1e3 * total / static_cast<double>(steps));
}

std::string operator_table(const OperatorTimes& times, std::int64_t steps) {
  std::vector<std::pair<std::string, OperatorTimes::Row>> rows(times.rows.begin(),
                                                               times.rows.end());
  std::sort(rows.begin(), rows.end(),
            [](const auto& a, const auto& b) { return a.second.seconds > b.second.seconds; });
  double total = 0.0;
  for (const auto& [_, row] : rows) total += row.seconds;
  std::string out = fmt::format("{:<52} {:>10} {:>7} {:>8}\n", "operator (own time)", "ms/step",
                                "share", "calls");
  constexpr std::size_t kShown = 30;
  for (std::size_t i = 0; i < std::min(kShown, rows.size()); ++i) {
    const auto& [name, row] = rows[i];
    out += fmt::format("{:<52} {:>10.3f} {:>6.1f}% {:>8}\n", name.substr(0, 52),
                       1e3 * row.seconds / static_cast<double>(steps), 100.0 * row.seconds / total,
                       row.calls);
  }
  return out;
}

double total(const Phases& p) { return p.load + p.forward + p.backward + p.update; }

EpochLoop loop_for(const Recipe& recipe, const Material& material, models::Model& model) {
  return EpochLoop(recipe, material, model, recipe.repeat.seeds.front());
}

constexpr std::int64_t kDrySteps = 2;

// What an epoch goes through.
struct Workload {
  std::string text;
  double graphs = 0, batches = 0;
};

Workload workload_of(const Recipe& recipe, const Material& material, const EpochLoop& loop,
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
          static_cast<double>(loop.batches())};
}

double weight_bytes(const models::Model& model) {
  double bytes = 0;
  for (const at::Tensor& p : model.parameters()) bytes += static_cast<double>(p.nbytes());
  return bytes;
}

constexpr std::int64_t kCounted = 512;  // graphs

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

// The model as its rules leave it in the end, with weights that are not trained.
std::string sparse_text(const Recipe& recipe, const Material& material) {
  Recipe now = recipe;
  for (sparsify::Rule& rule : now.sparsify->rules) {
    sparsify::Timing& timing = sparsify::timing_of(rule);
    timing.start = timing.end = 0;
  }
  const auto model = build_model(now, material.signature);
  const auto plain = models::build(recipe.model, material.signature);
  for (models::Model* m : {model.get(), plain.get()}) models::initialise(*m, 0);
  sparsify::Sparsity(*model, *now.sparsify, {}).begin(0);
  const ops::Flops sparse = count_flops(*model, recipe, material, kCounted).total();
  const double dense = count_flops(*plain, recipe, material, kCounted).total().total();
  return fmt::format(
      "made sparse          {:.4g} a graph, {:.1f} % of the dense model's; {:.1f} % are run until "
      "it is pruned\n",
      sparse.sparse(), 100 * sparse.sparse() / dense, 100 * sparse.total() / dense);
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
  EpochLoop loop = loop_for(recipe, material, model);
  const std::string memory = memory_of(recipe, material, loop);
  const auto peak = std::make_shared<MemoryPeak>();
  Phases phases;
  {
    const QuietAllocator quiet;
    const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, peak);
    loop.measure(1);  // the first step also fills caches; the next ones are timed
    phases = loop.measure(kDrySteps);
  }
  const Workload work = workload_of(recipe, material, loop, stands_for);
  const double epoch = total(phases) / kDrySteps * work.batches;
  const auto runs = static_cast<double>(std::max<std::size_t>(1, recipe.repeat.seeds.size()) *
                                        std::max<std::size_t>(1, recipe.repeat.folds.size()));
  std::string out;
  out += fmt::format("parameters           {}\n", models::parameter_count(model));
  out += fmt::format("graphs               {}\n", work.text);
  out += fmt::format("batches              {} an epoch, {} epochs\n", work.batches, loop.epochs());
  out += flop_text(recipe, count_flops(model, recipe, material, kCounted), work.graphs);
  if (recipe.sparsify) out += sparse_text(recipe, material);
  out += fmt::format(
      "memory               {} weights, gradients and optimizer{}; {} at the peak of "
      "a step (measured on the first batches)\n",
      size_text(loop.state_bytes()), memory, size_text(static_cast<double>(peak->peak())));
  out += fmt::format(
      "time                 {} an epoch of training (measured on {} steps), {} in "
      "all, evaluation not counted\n",
      duration_text(epoch), kDrySteps,
      duration_text(epoch * static_cast<double>(loop.epochs()) * runs));
  return out;
}

std::string profile_text(const Recipe& recipe, const Material& material, models::Model& model,
                         std::int64_t steps) {
  EpochLoop loop = loop_for(recipe, material, model);
  loop.measure(kDrySteps);  // warm: first-touch costs are not a step's
  const Phases phases = loop.measure(steps);
  OperatorTimes times;
  recording = &times;
  const auto handle = at::addThreadLocalCallback(
      at::RecordFunctionCallback(operator_starts, operator_ends)
          .scopes({at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION}));
  loop.measure(steps);
  at::removeCallback(handle);
  recording = nullptr;
  return fmt::format("{} steps\n{}\n{}", steps, phase_table(phases, steps),
                     operator_table(times, steps));
}

std::string dry_run_text(const Recipe& recipe, const Material& material, models::Model& model) {
  EpochLoop loop = loop_for(recipe, material, model);
  const Phases phases = loop.measure(kDrySteps);
  const data::Split& split = material.split;
  const auto& ids = split.valid.empty() ? split.train : split.valid;
  const auto count = std::min(static_cast<std::size_t>(recipe.dataset.batch_size), ids.size());
  data::Loader loader(material.dataset(), material.encodings,
                      {ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(count)},
                      plain_loading(recipe));
  const Figures figures = evaluate_split(model, loader, loop.judge());
  return fmt::format(
      "dry run: {} steps of {:.1f} ms and one batch of evaluation (loss {:.4g}); "
      "{} parameters; nothing kept",
      kDrySteps, 1e3 * total(phases) / kDrySteps, figure(figures, "loss"),
      models::parameter_count(model));
}

}  // namespace gtrain::train

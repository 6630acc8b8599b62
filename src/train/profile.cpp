#include "profile.h"

#include <ATen/ATen.h>
#include <ATen/record_function.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "gtrain/models/zoo.h"

namespace gtrain::train {
namespace {

using Clock = std::chrono::steady_clock;

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

}  // namespace

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

#include "gtrain/train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace gtrain::train {
namespace {

constexpr double kFirstFactor = 1e-6;  // a rate of exactly 0 would waste the first epoch
constexpr double kPlateauThreshold = 1e-4;
constexpr double kPlateauEps = 1e-8;

double ratio(std::int64_t a, std::int64_t b) {
  return static_cast<double>(a) / static_cast<double>(std::max<std::int64_t>(1, b));
}

template <class... F>
struct Overload : F... {
  using F::operator()...;
};
template <class... F>
Overload(F...) -> Overload<F...>;

}  // namespace

double cosine_rate(double lr, std::int64_t t, std::int64_t warmup, std::int64_t total) {
  if (t < warmup) return lr * std::max(kFirstFactor, ratio(t, warmup));
  const double progress = ratio(t - warmup, total - warmup);
  return lr * std::max(0.0, 0.5 * (1.0 + std::cos(std::numbers::pi * progress)));
}

double linear_rate(double lr, std::int64_t t, std::int64_t warmup, std::int64_t total) {
  if (t < warmup) return lr * std::max(kFirstFactor, ratio(t, warmup));
  return lr * std::max(0.0, ratio(total - t, total - warmup));
}

double polynomial_rate(double lr, std::int64_t t, std::int64_t total,
                       const PolynomialSchedule& options) {
  if (t < options.warmup) return lr * ratio(t, options.warmup);
  if (t > total) return options.lr_end;
  const double left = 1.0 - ratio(t - options.warmup, total - options.warmup);
  return (lr - options.lr_end) * std::pow(left, options.power) + options.lr_end;
}

double step_rate(double lr, std::int64_t t, const std::vector<std::int64_t>& milestones,
                 double factor) {
  for (const std::int64_t m : milestones) lr *= t >= m ? factor : 1.0;
  return lr;
}

void Plateau::observe(double value) {
  if (std::isnan(state_.best) || (maximise_ ? value > state_.best * (1.0 + kPlateauThreshold)
                                            : value < state_.best * (1.0 - kPlateauThreshold))) {
    state_.best = value;
    state_.bad = 0;
  } else {
    ++state_.bad;
  }
  if (state_.bad <= options_.patience) return;
  state_.bad = 0;
  const double reduced = std::max(state_.rate * options_.factor, options_.min_lr);
  if (state_.rate - reduced > kPlateauEps) state_.rate = reduced;
}

bool per_update(const ScheduleOptions& schedule) {
  return std::visit(
      [](const auto& s) {
        if constexpr (requires { s.unit; }) return s.unit == "step";
        return false;
      },
      schedule);
}

std::int64_t warmup_of(const ScheduleOptions& schedule) {
  return std::visit(
      [](const auto& s) -> std::int64_t {
        if constexpr (requires { s.warmup; }) return s.warmup;
        return 0;
      },
      schedule);
}

double scheduled_rate(const ScheduleOptions& schedule, double lr, std::int64_t t,
                      std::int64_t total) {
  return std::visit(
      Overload{
          [&](const CosineSchedule& s) { return cosine_rate(lr, t, s.warmup, total); },
          [&](const LinearSchedule& s) { return linear_rate(lr, t, s.warmup, total); },
          [&](const PolynomialSchedule& s) { return polynomial_rate(lr, t + s.first, total, s); },
          [&](const StepSchedule& s) { return step_rate(lr, t, s.milestones, s.factor); },
          [&](const auto&) { return lr; },
      },
      schedule);
}

double base_rate(const OptimizerOptions& optimizer) {
  return std::visit([](const auto& o) { return o.lr; }, optimizer);
}

}  // namespace gtrain::train

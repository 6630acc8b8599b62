// Learning-rate schedules: the rate as a function of a count t that starts at 0 and rises once per
// epoch or once per update (the schedule's `unit`), of the total T and the warm-up W.
//
//   constant    lr                                           plateau  below
//   cosine      t < W: lr max(1e-6, t/W); else lr max(0, (1 + cos(pi (t-W)/(T-W)))/2)
//   linear      t < W: lr max(1e-6, t/W); else lr max(0, (T-t)/(T-W))
//   step        lr factor^(number of milestones <= t)
//   polynomial  t < W: lr t/W; t > T: lr_end; else (lr - lr_end)(1 - (t-W)/(T-W))^power + lr_end
//
// `first` 1 lets a polynomial schedule count from 1: its first update is then made at lr/W, as
// Graphormer's, not at 0, as GraphGPS's.
//
// Past T the cosine rises again, as the published implementation does; training ends at T.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "gtrain/train/recipe.h"

namespace gtrain::train {

double cosine_rate(double lr, std::int64_t t, std::int64_t warmup, std::int64_t total);
double linear_rate(double lr, std::int64_t t, std::int64_t warmup, std::int64_t total);
double polynomial_rate(double lr, std::int64_t t, std::int64_t total,
                       const PolynomialSchedule& options);
double step_rate(double lr, std::int64_t t, const std::vector<std::int64_t>& milestones,
                 double factor);

// Reduces the rate by `factor` once the watched value has not improved by a relative 1e-4 for more
// than `patience` evaluations in a row; changes below 1e-8 are not made.
class Plateau {
 public:
  struct State {
    double best = std::numeric_limits<double>::quiet_NaN();  // NaN: nothing seen yet
    std::int64_t bad = 0;
    double rate = 0.0;
  };

  Plateau(PlateauSchedule options, double lr, bool maximise)
      : options_(std::move(options)), maximise_(maximise) {
    state_.rate = lr;
  }

  void observe(double value);
  double rate() const { return state_.rate; }
  const State& state() const { return state_; }
  void restore(const State& state) { state_ = state; }

 private:
  PlateauSchedule options_;
  bool maximise_;
  State state_;
};

// True where the rate changes after every update rather than after every epoch.
bool per_update(const ScheduleOptions& schedule);

// W; 0 for schedules without warm-up.
std::int64_t warmup_of(const ScheduleOptions& schedule);

// Rate at count `t` of `total`; of a plateau schedule the rate it starts with.
double scheduled_rate(const ScheduleOptions& schedule, double lr, std::int64_t t,
                      std::int64_t total);

// The optimizer's own rate and the recipe's key names do not depend on the kind.
double base_rate(const OptimizerOptions& optimizer);

}  // namespace gtrain::train

#include "gtrain/sparsify/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace gtrain::sparsify {
namespace {

double cubic(double from, double to, double done) {
  const double left = 1 - done;
  return to + (from - to) * left * left * left;
}

}  // namespace

Schedule::Schedule(const Timing& timing, std::int64_t updates_per_epoch)
    : keep_(timing.keep.value_or(1.0)) {
  const std::int64_t unit = timing.unit == "epoch" ? updates_per_epoch : 1;
  start_ = timing.start * unit;
  end_ = std::max(start_, timing.end * unit);
  every_ = timing.every * unit;
}

bool Schedule::due(std::int64_t updates) const {
  if (updates < start_ || updates > end_) return false;
  return updates == end_ || (updates - start_) % every_ == 0;
}

double Schedule::keep(std::int64_t updates) const {
  if (updates < start_) return 1;
  if (updates >= end_) return keep_;
  const std::int64_t last = (updates - start_) / every_ * every_;
  return cubic(1, keep_, static_cast<double>(last) / static_cast<double>(end_ - start_));
}

double Schedule::exchange(double first, std::int64_t updates, double last) const {
  if (updates < start_ || updates >= end_) return 0;
  return cosine_share(first, updates - start_, end_ - start_, last);
}

bool ReferencePruning::due(std::int64_t updates) const {
  if (updates < start || updates % every != 0) return false;
  const std::int64_t now = updates / every;
  return now >= start / every && now <= end / every - 1;
}

double ReferencePruning::density(std::int64_t updates) const {
  const auto first = static_cast<double>(start / every), last = static_cast<double>(end / every);
  const double left = 1 - (static_cast<double>(updates / every) - first) / (last - first);
  return 1 - ((1 - initial) + (initial - keep) * (1 - std::pow(left, 3)));
}

double cosine_share(double first, std::int64_t updates, std::int64_t total, double last) {
  const double done = static_cast<double>(updates) / static_cast<double>(total);
  return last + (first - last) * (1 + std::cos(std::numbers::pi * done)) / 2;
}

}  // namespace gtrain::sparsify

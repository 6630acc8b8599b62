// When a rule changes a model, and how far: a pure function of the number of updates made, so that
// a run that goes on needs nothing saved. Not what is changed.
#pragma once

#include <cstdint>

#include "gtrain/sparsify/rule.h"

namespace gtrain::sparsify {

// The share of exchanges that GraNet ends at; RigL ends at 0.
inline constexpr double kLastShare = 0.005;

// A rule's timing in updates.
class Schedule {
 public:
  // updates_per_epoch: what one unit: epoch is. `timing.keep` must be set.
  Schedule(const Timing& timing, std::int64_t updates_per_epoch);

  std::int64_t start() const { return start_; }
  std::int64_t end() const { return end_; }  // start where all happens at once
  std::int64_t every() const { return every_; }
  double target() const { return keep_; }

  // Whether something changes after `updates` updates (0: before the first).
  bool due(std::int64_t updates) const;
  // From its last change on, the rule changes nothing.
  bool settled(std::int64_t updates) const { return updates >= end_; }
  // keep(t) of rule.h at the last change so far; 1 before the first.
  double keep(std::int64_t updates) const;
  // Share of exchanges: from `first` at start to `last` at end along a cosine; 0 from end on.
  double exchange(double first, std::int64_t updates, double last = kLastShare) const;

 private:
  std::int64_t start_, end_, every_;
  double keep_;
};

// Gradual pruning as the authors of GTSP count: iterations of `every` updates, start and end
// rounded down to them; the last one before the end leaves a little more than keep.
struct ReferencePruning {
  std::int64_t start, end, every;  // in updates
  double keep;
  double initial = 1;  // density before the first change

  bool due(std::int64_t updates) const;
  double density(std::int64_t updates) const;
};

// `first` at 0 to `last` at `total`, along half a cosine.
double cosine_share(double first, std::int64_t updates, std::int64_t total,
                    double last = kLastShare);

}  // namespace gtrain::sparsify

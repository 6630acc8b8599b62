// The inner loop of the trainer: the steps of an epoch, the optimizer and its schedule. It can stop
// between any two updates and go on from there.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "evaluation.h"
#include "gtrain/sparsify/sparsity.h"
#include "gtrain/train/checkpoint.h"
#include "gtrain/train/optimizer.h"
#include "gtrain/train/schedule.h"
#include "material.h"
#include "progress_line.h"

namespace gtrain::train {

enum class StepEnd { kEpoch, kInterrupted, kDiverged };

struct EpochFigures {
  Figures figures;  // seen while training
  double rate = 0.0;
  double seconds = 0.0;  // of the steps this process made
  std::int64_t graphs = 0;
  std::string problem;  // when diverged
};

// Where the time of a step goes, in seconds.
struct Phases {
  double load = 0, forward = 0, backward = 0, update = 0;
};

class EpochLoop {
 public:
  // Throws base::RecipeError where loss, metrics or schedule do not fit the data.
  EpochLoop(const Recipe& recipe, const Material& material, models::Model& model,
            std::int64_t seed);

  // Runs what is left of `epoch` (from 1).
  StepEnd run(std::int64_t epoch, const std::string& label, const std::atomic<int>* interrupt,
              EpochFigures& out);
  // Runs `steps` batches from the start of epoch 1 on, epoch after epoch, and says where the time
  // went. For plans and profiles: nothing is kept.
  Phases measure(std::int64_t steps);

  data::GraphBatch first_batch();  // of epoch 1; the loop has to be at its start

  bool finished(std::int64_t epoch) const;  // after that epoch
  std::int64_t epochs() const { return epochs_; }
  std::int64_t updates() const { return updates_; }
  std::int64_t batch() const { return batch_; }
  std::int64_t batches() const { return batches_; }  // of epoch 1
  const Judge& judge() const { return judge_; }
  double next_rate(std::int64_t epochs_done) const;
  double state_bytes() const;  // of weights, gradients and optimizer

  // A run that pauses here returns kInterrupted after so many updates.
  void pause_at(std::int64_t updates) { pause_at_ = updates; }
  bool paused() const { return updates_ == pause_at_; }
  // The last updates at which no rule has begun.
  std::int64_t updates_before_rules() const {
    return sparsity_ ? std::max<std::int64_t>(0, sparsity_->first_start() - 1) : 0;
  }

  void observe(double watched);  // plateau schedules; others ignore it
  std::string watched_metric() const;
  std::optional<Plateau::State> plateau_state() const;

  const Optimizer& optimizer() const { return optimizer_; }
  // The model is as sparse as the recipe wants it, from the updates made so far on.
  bool settled() const { return !sparsity_ || sparsity_->settled(updates_); }
  NamedTensors sparsity_state() const { return sparsity_ ? sparsity_->state() : NamedTensors(); }
  void keep_partial(Checkpoint& checkpoint) const;
  void restore(const Checkpoint& checkpoint);

 private:
  void start_epoch(std::int64_t epoch);          // at batch_
  std::optional<data::GraphBatch> next_batch();  // nullopt at the epoch's end
  double rate(std::int64_t epoch, std::int64_t update) const;
  double step(const data::GraphBatch& batch, std::int64_t epoch);
  double update_weights(double rate);  // returns the gradient norm
  double pass(const data::GraphBatch& batch, nn::Context& context, std::int64_t passes,
              at::Tensor& output);
  std::string where(const data::GraphBatch& batch, std::int64_t epoch, const char* what,
                    double value) const;
  double seconds_left(std::int64_t epoch, double per_batch) const;

  const Recipe& recipe_;
  const Material& material_;
  models::Model& model_;
  Judge judge_;
  std::int64_t seed_;
  data::Loader loader_;
  std::optional<data::GraphBatch> whole_;  // the only batch, where the data set is one graph
  Optimizer optimizer_;
  std::optional<Plateau> plateau_;
  std::optional<sparsify::Sparsity> sparsity_;
  std::int64_t batches_ = 0;
  std::int64_t epochs_ = 0, total_ = 0;  // of the run; in the schedule's unit
  std::int64_t epoch_ = 0;               // started last
  std::int64_t updates_ = 0, batch_ = 0, pause_at_ = -1;
  std::optional<Tally> tally_;  // of the epoch being run
  double seconds_ = 0.0;        // of its steps in this process
  std::int64_t graphs_ = 0;     // trained on in that time
  Phases phases_;
};

}  // namespace gtrain::train

// The training loop of one seed on one split: steps, evaluation, selection, stopping, states. Knows
// nothing of recipes' files, several seeds or the command line (train/run.h).
//
// An epoch is a pass over the train split in an order given by (seed, epoch). A step is forward,
// loss, backward; every `accumulate` batches (and at the last of an epoch) the optimizer updates.
// Everything random in it is a function of (seed, epoch, batch), so that a run which goes on from a
// saved state repeats the uninterrupted one bit for bit.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "gtrain/models/model.h"
#include "gtrain/train/recipe.h"

namespace gtrain::train {

struct Material;  // data, encodings, split, scale (src/train/material.h)

struct TrainerOptions {
  std::filesystem::path directory;  // must exist
  std::string label;                // before every line, e.g. "seed 3: "
  std::string recipe_hash;
  std::int64_t seed = 0;
  const std::atomic<int>* interrupt = nullptr;
  std::string init =
      {};  // record of the weights the model begins with (train/origin.h); empty: random
  bool pause = false;  // stop before the first rule of `sparsify:` begins
};

enum class Ending { kFinished, kDiverged, kInterrupted };

class Trainer {
 public:
  // `material` must outlive the trainer. Throws base::RecipeError where loss, metrics or model do
  // not fit the data.
  Trainer(const Recipe& recipe, const Material& material, std::shared_ptr<models::Model> model,
          TrainerOptions options);
  ~Trainer();

  // Goes on from the directory's newest state that verifies, if there is one; warns of those that
  // do not. Without one, the run starts at its first epoch.
  void restore();

  // Whether it has made the updates that it was to pause after, and how many those are.
  bool paused() const;
  std::int64_t updates() const;

  // Trains to the end (kInterrupted where it pauses), evaluates the selected state and writes
  // result.json. kDiverged: the last saved state is that of the epoch before; `problem` says what
  // happened where.
  Ending run();
  const std::string& problem() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace gtrain::train

// What the models of a table take in inference, and what `gtrain prune` makes of it: `prune: true`
// of a row. For the first finished run of the row its selected model, the same one pruned (RUN/
// pruned) and that of the row it is paired with, of the same seed and fold, run over the same
// graphs in turns, so that a busy machine slows all of them alike; every batch counts with its
// fastest of several passes. Kept in RUN/inference.json, as long as these runs are what they were.
#pragma once

#include <atomic>
#include <optional>
#include <string>
#include <vector>

#include "table_run.h"

namespace gtrain::train {

struct InferenceFigures {
  std::int64_t graphs = 0;
  double seconds = 0;                              // of one graph
  std::optional<double> pruned_seconds;            // nothing: there is nothing to prune
  std::optional<double> against_seconds;           // of the row it is paired with
  double pruned_flops = 0, pruned_parameters = 0;  // of the pruned model
  std::string not_pruned;                          // why
};

// Seconds of one graph in each model, measured in turns on up to 1024 of the recipe's test graphs,
// spread over the split.
std::vector<double> seconds_side_by_side(const std::vector<std::filesystem::path>& runs,
                                         const models::Zoo& zoo, std::int64_t& graphs);

// Prunes and measures where that has not been done; `against` is nullptr without a pair. Warns of
// what cannot be pruned.
void measure_inference(const RowRuns& row, const RowRuns* against, const models::Zoo& zoo);

// What inference.json of the row says; nothing where there is none, or an old one.
std::optional<InferenceFigures> inference_of(const RowRuns& row, const RowRuns* against);

}  // namespace gtrain::train

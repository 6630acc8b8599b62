// Generated data in the likeness of a card: a few small random graphs with the set's columns,
// categories, classes, label width, mean sizes and splits. For planning, dry runs and parameter
// counts where the data itself is not on the machine. Nothing learned from it means anything.
//
//   graph: a random tree plus random chords, sizes within half of the mean on either side
//   split: ids i mod 5 < 3 train, 3 valid, 4 test; under the card's scheme, and as folds 0 to 9
//          where the card's scheme is a fold
#pragma once

#include <cstdint>

#include "gtrain/data/card.h"
#include "gtrain/data/open.h"

namespace gtrain::data {

struct StandInOptions {
  std::uint64_t seed = 0;
  std::int64_t graphs = 0;  // 0: as many as have some thousands of nodes together, 10 to 60
};

// The set as its card describes it. A set of one graph keeps its degree and has at most 1000 nodes.
// Throws base::RecipeError where the card does not say a size, a task, a metric or
// add_inverse_edge.
Dataset stand_in(const Card& card, const StandInOptions& options = {});

// As open_dataset would open it, with what the recipe's `dataset:` section says over the card.
// `store` is empty: encodings are to be computed without a cache. Throws base::RecipeError where no
// card has the name.
Opened open_stand_in(const DatasetOptions& dataset, const StandInOptions& options = {});

}  // namespace gtrain::data

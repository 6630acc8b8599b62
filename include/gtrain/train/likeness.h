// The data set of a recipe where it is on this machine, else generated data in the likeness of its
// card (data/stand_in.h): for whatever looks at a recipe without training it. Nothing learned from
// generated data means anything, so no run ever gets it.
#pragma once

#include <cstdint>

#include "gtrain/data/open.h"

namespace gtrain::train {

struct Likeness {
  data::Opened opened;
  bool generated = false;
  std::int64_t graphs = 0;  // of the whole data set as its card says; 0: not stated, or at hand
};

// Whether the files that `dataset` names are on this machine. A path is always taken at its word:
// one that leads nowhere is a mistake, not an absent data set.
bool at_hand(const data::DatasetOptions& dataset);

// kSome: a few graphs; kFullBatches: enough for one training batch of the recipe's size.
enum class Extent { kSome, kFullBatches };

// Notes that data were generated. Throws as data::open_dataset does where the data are at hand,
// else as data::open_stand_in.
Likeness open_or_generate(const data::DatasetOptions& dataset, Extent extent = Extent::kSome);

}  // namespace gtrain::train

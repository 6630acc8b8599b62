// The data set of a recipe where it is on this machine, else generated data in the likeness of its
// card (data/stand_in.h): for whatever looks at a recipe without training it. Nothing learned from
// generated data means anything, so no run ever gets it.
#pragma once

#include "gtrain/data/open.h"

namespace gtrain::train {

struct Likeness {
  data::Opened opened;
  bool generated = false;
};

// Whether the files that `dataset` names are on this machine. A path is always taken at its word:
// one that leads nowhere is a mistake, not an absent data set.
bool at_hand(const data::DatasetOptions& dataset);

// Throws as data::open_dataset does where the data are at hand, else as data::open_stand_in.
Likeness open_or_generate(const data::DatasetOptions& dataset);

}  // namespace gtrain::train

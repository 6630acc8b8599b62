#include "gtrain/train/likeness.h"

#include "gtrain/data/catalog.h"
#include "gtrain/data/stand_in.h"

namespace gtrain::train {

bool at_hand(const data::DatasetOptions& dataset) {
  if (!dataset.path.empty()) return true;
  return data::find_data(dataset.name, data::find_card(dataset.name)).has_value();
}

Likeness open_or_generate(const data::DatasetOptions& dataset) {
  if (at_hand(dataset)) return {data::open_dataset(dataset), false};
  return {data::open_stand_in(dataset), true};
}

}  // namespace gtrain::train

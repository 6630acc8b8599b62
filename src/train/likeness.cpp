#include "gtrain/train/likeness.h"

#include <fmt/format.h>

#include <optional>

#include "gtrain/base/log.h"
#include "gtrain/data/catalog.h"
#include "gtrain/data/stand_in.h"

namespace gtrain::train {

bool at_hand(const data::DatasetOptions& dataset) {
  if (!dataset.path.empty()) return true;
  return data::find_data(dataset.name, data::find_card(dataset.name)).has_value();
}

Likeness open_or_generate(const data::DatasetOptions& dataset, Extent extent) {
  if (at_hand(dataset)) return {data::open_dataset(dataset), false, 0};
  data::StandInOptions options;
  // Three graphs of five are for training (data/stand_in.h).
  if (extent == Extent::kFullBatches) options.graphs = dataset.batch_size * 5 / 3 + 5;
  Likeness out{data::open_stand_in(dataset, options), true, 0};
  const std::optional<data::Card> card = data::find_card(dataset.name);
  if (card) out.graphs = card->graphs.value_or(0);
  base::note(fmt::format("{}: not on this machine: generated data in the likeness of its card",
                         dataset.name));
  return out;
}

}  // namespace gtrain::train

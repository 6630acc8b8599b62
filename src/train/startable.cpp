#include "gtrain/train/startable.h"

#include <fmt/format.h>

#include <optional>
#include <vector>

#include "epoch.h"
#include "gtrain/base/error.h"
#include "gtrain/data/loader.h"
#include "gtrain/models/zoo.h"
#include "gtrain/train/build.h"
#include "gtrain/train/checkpoint.h"
#include "gtrain/train/origin.h"
#include "gtrain/train/serial_aten.h"
#include "material.h"
#include "member.h"

namespace gtrain::train {
namespace {

// `negatives` are drawn: then only pairs that are there say something.
void check_labels(const data::Dataset& dataset, const data::Split& split, bool negatives) {
  const auto check = [&](const std::vector<std::int64_t>& ids, const char* name, const char* what) {
    if (has_label(dataset, ids, negatives)) return;
    const char* wrong = ids.empty() ? "is empty"
                        : negatives ? "has no pair of label 1"
                                    : "has no label";
    throw base::DataError(fmt::format("{}: split {} {}; expected something to {}",
                                      dataset.info.name, name, wrong, what));
  };
  check(split.train, "train", "learn from");
  if (!split.valid.empty()) check(split.valid, "valid", "choose by");
}

// Graphs that no batch can hold.
void check_sizes(const Recipe& recipe, const Material& material) {
  if (material.dataset().single_graph()) return;
  const data::Split& split = material.split;
  for (const auto* ids : {&split.train, &split.valid, &split.test}) {
    if (ids->empty()) continue;
    const data::Loader loader(material.dataset(), material.encodings, *ids, plain_loading(recipe));
  }
}

}  // namespace

void check_data(const Recipe& recipe, const data::Opened& opened) {
  const bool real = !opened.store.empty();
  std::optional<std::int64_t> fold;
  for (const Member& member : members_of(recipe)) {
    if (fold == member.fold) continue;
    fold = member.fold;
    const Material material = unencoded(recipe_of(recipe, member), opened);
    if (!real) continue;
    check_labels(material.dataset(), material.split, recipe.train.negatives.value_or(0) > 0);
    check_sizes(recipe, material);
  }
}

std::int64_t check_startable(const Recipe& recipe, const data::Opened& opened,
                             const NamedTensors& given, bool begins) {
  const SerialAten serial;
  const Member member = members_of(recipe).front();
  Recipe first = recipe_of(recipe, member);
  if (opened.store.empty()) first.dataset.max_nodes = 0;  // generated graphs may be larger
  const Material material = unencoded(first, opened);
  const auto model = build_model(first, material.signature, given);
  begin_with(*model, first.init, begins && first.init, *first.zoo);
  const EpochLoop loop(first, material, *model, member.seed);
  return models::parameter_count(*model);
}

}  // namespace gtrain::train

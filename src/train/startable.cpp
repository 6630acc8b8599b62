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
    const data::Loader loader(material.dataset(), material.encodings, *ids, plain_loading(recipe));
  }
}

}  // namespace

std::int64_t check_startable(const Recipe& recipe, const data::Opened& opened, bool begins) {
  const SerialAten serial;
  const bool real = !opened.store.empty();
  const std::vector<Member> members = members_of(recipe);
  std::optional<std::int64_t> fold;
  for (const Member& member : members) {
    if (fold == member.fold) continue;
    fold = member.fold;
    const Material material = unencoded(recipe_of(recipe, member), opened);
    if (!real) continue;
    check_labels(material.dataset(), material.split, recipe.train.negatives.value_or(0) > 0);
    check_sizes(recipe, material);
  }
  const Recipe first = recipe_of(recipe, members.front());
  const Material material = unencoded(first, opened);
  const bool given = begins && first.init;
  const auto model = build_model(first, material.signature,
                                 given ? origin_tensors(*first.init, *first.zoo) : NamedTensors());
  begin_with(*model, first.init, given, *first.zoo);
  const EpochLoop loop(first, material, *model, members.front().seed);
  return models::parameter_count(*model);
}

}  // namespace gtrain::train

#include "export_sample.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <span>

#include "predict.h"
#include "spread.h"

namespace gtrain::train {
namespace {

constexpr std::int64_t kLeast = 64, kMost = 256, kSeven = 7;
constexpr std::int64_t kNodes = 1 << 18;  // of the largest batch, where kLeast graphs have fewer

using Ids = std::vector<std::int64_t>;

Ids graphs_of(const data::Dataset& dataset, const Ids& split) {
  return dataset.single_graph() ? Ids{0} : split;  // whose splits are rows of it
}

// Rows of a node task's nodes that no transform added.
at::Tensor own_rows(const data::GraphBatch& batch) {
  Ids out;
  for (std::int64_t node = 0; node < batch.nodes(); ++node) {
    if (!is_added(batch, node)) out.push_back(node);
  }
  return at::tensor(out, at::kLong);
}

deploy::Sample sample(const TwoViews& views, const models::Model& model,
                      deploy::Encodings encodings, std::span<const std::int64_t> ids) {
  const data::Dataset& seen = views.model.dataset();
  data::GraphBatch batch = data::collate(seen, views.model.encodings, ids);
  data::GraphBatch given = data::collate(views.module.dataset(), views.module.encodings, ids);
  if (views.encodes_transformed) given.encoding = batch.encoding;
  deploy::Sample out{deploy::arguments_of(given, model, encodings), std::move(batch), {}};
  if (data::level_of(seen.info.task) == data::Level::kNode && seen.info.virtual_node) {
    out.rows = own_rows(out.batch);
  }
  return out;
}

// The same edges, last first.
deploy::Sample reversed(deploy::Sample sample) {
  sample.arguments[1] = sample.arguments[1].flip(1);
  sample.arguments[2] = sample.arguments[2].flip(0);
  return sample;
}

}  // namespace

SampleChoice choose_samples(const TwoViews& views, std::int64_t limit) {
  const data::Dataset& dataset = views.model.dataset();
  SampleChoice out;
  const auto usable = [&](const Ids& ids) {
    Ids kept;
    for (const std::int64_t g : graphs_of(dataset, ids)) {
      const bool large = limit > 0 && dataset.nodes_of(g) > limit;
      out.too_large += large ? 1 : 0;
      if (!large && views.module.dataset().nodes_of(g) > 0) kept.push_back(g);
    }
    return kept;
  };
  const data::Split& split = views.model.split;
  const Ids test = usable(split.test);
  std::int64_t nodes = 0;
  for (const std::int64_t g : test) nodes += dataset.nodes_of(g);
  const auto count = static_cast<std::int64_t>(test.size());
  out.ids =
      spread(test, std::clamp(kNodes * count / std::max(nodes, std::int64_t{1}), kLeast, kMost));
  if (count >= kLeast || dataset.single_graph()) return out;
  Ids others = usable(split.valid);
  const Ids train = usable(split.train);
  others.insert(others.end(), train.begin(), train.end());
  for (const std::int64_t g : spread(others, kLeast - count)) out.ids.push_back(g);
  return out;
}

std::vector<deploy::Sample> export_samples(const TwoViews& views, const models::Model& model,
                                           deploy::Encodings encodings, const Ids& ids) {
  const auto of = [&](std::span<const std::int64_t> part) {
    return sample(views, model, encodings, part);
  };
  std::vector<deploy::Sample> out{of(ids)};
  out.push_back(reversed(out.front()));
  if (ids.size() == 1) return out;
  const Ids some = spread(ids, kLeast);
  for (std::size_t i = 0; i < some.size(); i += kSeven) {
    out.push_back(of(std::span(some).subspan(i, std::min<std::size_t>(kSeven, some.size() - i))));
  }
  for (std::size_t i = 0; i < some.size(); ++i) out.push_back(of(std::span(some).subspan(i, 1)));
  return out;
}

}  // namespace gtrain::train

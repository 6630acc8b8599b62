#include "pair.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <set>
#include <utility>

#include "gtrain/base/random.h"

namespace gtrain::train {
namespace {

constexpr int kTries = 11;  // one draw and ten more

// A positive pair by node rows of the batch, and its graph's place in the batch.
struct Positive {
  std::int64_t source, target, graph;
};

std::vector<Positive> positives_of(const data::GraphBatch& batch) {
  const at::Tensor label = batch.label.to(at::kFloat).contiguous();
  TORCH_CHECK(batch.pair.defined() && label.numel() == batch.pair.size(0), "[pair] ", label.numel(),
              " labels; expected one for each pair");
  const auto* value = label.const_data_ptr<float>();
  const auto* pair = batch.pair.const_data_ptr<std::int64_t>();
  const auto* graph = batch.graph.const_data_ptr<std::int64_t>();
  std::vector<Positive> out;
  for (std::int64_t p = 0; p < label.numel(); ++p) {
    if (value[p] > 0.5f) out.push_back({pair[2 * p], pair[2 * p + 1], graph[pair[2 * p]]});
  }
  return out;
}

at::Tensor pair_tensor(const std::vector<std::int64_t>& ends) {
  at::Tensor out = at::empty({static_cast<std::int64_t>(ends.size() / 2), 2}, at::kLong);
  std::copy(ends.begin(), ends.end(), out.mutable_data_ptr<std::int64_t>());
  return out;
}

using Pairs = std::set<std::pair<std::int64_t, std::int64_t>>;

Pairs pairs_of(const std::vector<Positive>& positives) {
  Pairs out;
  for (const Positive& p : positives) out.emplace(p.source, p.target);
  return out;
}

}  // namespace

void draw_negatives(data::GraphBatch& batch, std::int64_t each, std::int64_t seed,
                    std::int64_t epoch) {
  const std::vector<Positive> positives = positives_of(batch);
  Pairs taken = pairs_of(positives);
  const auto* start = batch.graph_start.const_data_ptr<std::int64_t>();
  std::vector<std::int64_t> ends;
  for (const Positive& p : positives) ends.insert(ends.end(), {p.source, p.target});
  std::int64_t graph = -1;
  base::Random random(0);
  for (const Positive& p : positives) {
    if (p.graph != graph) {
      graph = p.graph;
      random = base::Random(base::key(static_cast<std::uint64_t>(seed), base::Purpose::kGenerate,
                                      epoch, batch.graph_ids[static_cast<std::size_t>(graph)]));
    }
    const auto nodes = static_cast<std::uint64_t>(start[graph + 1] - start[graph]);
    for (std::int64_t k = 0; k < each; ++k) {
      for (int t = 0; t < kTries; ++t) {
        const std::int64_t v = start[graph] + static_cast<std::int64_t>(random.below(nodes));
        if (!taken.emplace(p.source, v).second) continue;
        ends.insert(ends.end(), {p.source, v});
        break;
      }
    }
  }
  batch.pair = pair_tensor(ends);
  batch.label = at::zeros({batch.pair.size(0), 1}, at::kFloat);
  batch.label.narrow(0, 0, static_cast<std::int64_t>(positives.size())).fill_(1.0);
}

at::Tensor with_candidates(const data::GraphBatch& batch) {
  const auto* start = batch.graph_start.const_data_ptr<std::int64_t>();
  std::vector<std::int64_t> ends;
  for (const Positive& p : positives_of(batch)) {
    for (std::int64_t v = start[p.graph]; v < start[p.graph + 1]; ++v) {
      ends.insert(ends.end(), {p.source, v});
    }
  }
  return at::cat({batch.pair, pair_tensor(ends)});
}

std::vector<Rank> ranks_of(const data::GraphBatch& batch, const at::Tensor& scores) {
  const std::vector<Positive> positives = positives_of(batch);
  const Pairs known = pairs_of(positives);
  const at::Tensor flat = scores.detach().to(at::kDouble).contiguous().flatten();
  const auto* score = flat.const_data_ptr<double>() + batch.pair.size(0);
  const auto* start = batch.graph_start.const_data_ptr<std::int64_t>();
  std::vector<Rank> out;
  for (const Positive& p : positives) {
    const std::int64_t first = start[p.graph], nodes = start[p.graph + 1] - first;
    std::vector<double> others, unknown, strangers;
    for (std::int64_t v = 0; v < nodes; ++v) {
      if (first + v == p.target) continue;
      others.push_back(score[v]);
      if (known.count({p.source, first + v}) != 0) continue;
      unknown.push_back(score[v]);
      if (first + v != p.source) strangers.push_back(score[v]);
    }
    const double own = score[p.target - first];
    out.push_back({batch.graph_ids[static_cast<std::size_t>(p.graph)],
                   reciprocal_rank(own, others.data(), others.size()),
                   reciprocal_rank(own, unknown.data(), unknown.size()),
                   reciprocal_rank(own, strangers.data(), strangers.size())});
    score += nodes;
  }
  return out;
}

}  // namespace gtrain::train

#include "gtrain/nn/sparsity_gate.h"

#include <utility>

#include "gtrain/nn/attention.h"
#include "gtrain/nn/bigbird.h"
#include "gtrain/nn/performer.h"
#include "support/layer_case.h"

namespace gtrain {
namespace {

// Keeps the rows it is told.
class Chosen final : public nn::TokenGate {
 public:
  Chosen(at::Tensor rows, at::Tensor start) : rows_(std::move(rows)), start_(std::move(start)) {}
  std::optional<nn::KeptRows> choose(const nn::Candidates& rows, nn::Context&) override {
    return nn::KeptRows{.rows = ops::row_index(rows_, rows.input.x.size(0)), .graph_start = start_};
  }

 private:
  at::Tensor rows_, start_;
};

class Closed final : public nn::BranchGate {
 public:
  bool closed(const nn::Context&) const override { return true; }
  at::Tensor through(const at::Tensor& update, const at::Tensor&, nn::Context&) override {
    return update;
  }
};

at::Tensor longs(std::vector<std::int64_t> v) { return at::tensor(v, at::kLong); }

TEST(SparsityGate, AttentionOfKeptRowsIsThatOfAGraphWithoutTheOthers) {
  const auto layer = support::ready(std::make_shared<nn::Attention>(8, 2, 0.0, true));
  const at::Tensor start = longs({0, 4, 7}), kept = longs({1, 3, 4, 6}), part = longs({0, 2, 4});
  const at::Tensor x = at::randn({7, 8}, at::kDouble);
  ops::AttentionBias bias, small;
  bias.hops = at::arange(16 + 9, at::kLong).remainder(4).to(at::kByte);
  bias.table = at::randn({4, 2}, at::kDouble);
  bias.pair = at::randn({16 + 9, 2}, at::kDouble);
  // Pairs (1,1) (1,3) (3,1) (3,3) of the first graph, (0,0) (0,2) (2,0) (2,2) of the second.
  const at::Tensor pairs = longs({5, 7, 13, 15, 16, 18, 22, 24});
  small.hops = bias.hops.index_select(0, pairs);
  small.table = bias.table;
  small.pair = bias.pair.index_select(0, pairs);
  nn::Context context = support::context(false);
  const at::Tensor want =
      layer->forward({.x = x.index_select(0, kept), .graph_start = part, .bias = small}, context);
  layer->token_gate = std::make_shared<Chosen>(kept, part);
  const at::Tensor got = layer->forward({.x = x, .graph_start = start, .bias = bias}, context);
  EXPECT_TRUE(support::same_bits(got.index_select(0, kept), want));
  EXPECT_EQ(got.index_select(0, longs({0, 2, 5})).abs().max().item<double>(), 0);
}

TEST(SparsityGate, PerformerLeavesRowsOut) {
  const auto layer =
      support::ready(std::make_shared<nn::Performer>(8, 2, 0.0, nn::PerformerOptions{4, 8}));
  const at::Tensor start = longs({0, 4}), kept = longs({0, 2}), part = longs({0, 2});
  const at::Tensor x = at::randn({4, 8}, at::kDouble);
  nn::Context context = support::context(false);
  const at::Tensor want =
      layer->forward({.x = x.index_select(0, kept), .graph_start = part}, context);
  layer->token_gate = std::make_shared<Chosen>(kept, part);
  const at::Tensor got = layer->forward({.x = x, .graph_start = start}, context);
  EXPECT_LT(support::distance(got.index_select(0, kept), want), 1e-12);
}

TEST(SparsityGate, AClosedBranchIsZeroAndIsNotComputed) {
  const auto layer = support::ready(std::make_shared<nn::Attention>(8, 2, 0.0));
  layer->branch_gate = std::make_shared<Closed>();
  nn::Context context = support::context(true);
  const at::Tensor out =
      layer->forward({.x = at::randn({3, 8}, at::kDouble), .graph_start = longs({0, 3})}, context);
  EXPECT_EQ(out.abs().max().item<double>(), 0);
  EXPECT_FALSE(out.requires_grad());
}

TEST(SparsityGate, BigBirdKeepsThePairsOfKeptRows) {
  const nn::BigBirdOptions options{1, 0, 0, 0};
  const auto layer = support::ready(std::make_shared<nn::BigBird>(8, 2, 0.0, options));
  const at::Tensor start = longs({0, 5}), kept = longs({0, 1, 3}), part = longs({0, 3});
  const ops::AttentionPattern pattern = nn::bigbird_pattern(start, options);
  // A window of one: rows 0 and 1 see each other, row 3 has lost both neighbours.
  const ops::AttentionPattern small =
      ops::pair_pattern(part, longs({0, 0, 1, 1, 2}), longs({0, 1, 0, 1, 2}), 3, 3);
  const at::Tensor x = at::randn({5, 8}, at::kDouble);
  nn::Context context = support::context(false);
  const at::Tensor want = layer->forward(
      {.x = x.index_select(0, kept), .graph_start = part, .pattern = &small}, context);
  layer->token_gate = std::make_shared<Chosen>(kept, part);
  const at::Tensor got =
      layer->forward({.x = x, .graph_start = start, .pattern = &pattern}, context);
  EXPECT_TRUE(support::same_bits(got.index_select(0, kept), want));
}

TEST(SparsityGate, RestrictedPairsKeepTheirTypesAndNumbers) {
  const ops::AttentionPattern pattern =
      ops::pair_pattern(longs({0, 3}), longs({0, 1, 1, 2}), longs({1, 0, 2, 1}), 3, 3,
                        longs({3, 1, 2, 0}).to(at::kByte));
  nn::KeptRows kept;
  kept.rows = ops::row_index(longs({1, 2}), 3);
  kept.graph_start = longs({0, 2});
  const nn::KeptPairs got = nn::restricted(pattern, kept);
  EXPECT_TRUE(at::equal(got.pairs.index, longs({2, 3})));
  EXPECT_TRUE(at::equal(got.pattern.column.to(at::kLong), longs({1, 0})));
  EXPECT_TRUE(at::equal(got.pattern.type.to(at::kLong), longs({2, 0})));
}

}  // namespace
}  // namespace gtrain

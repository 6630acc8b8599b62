#include "gtrain/sparsify/attention_score.h"

#include <tbb/global_control.h>

#include "gtrain/ops/flop_count.h"
#include "support/layer_case.h"

namespace gtrain::sparsify {
namespace {

struct Sample {
  std::shared_ptr<nn::Attention> layer =
      support::ready(std::make_shared<nn::Attention>(8, 2, 0.0, true));
  at::Tensor start = at::tensor({0, 4, 5, 8}, at::kLong);
  at::Tensor x = at::randn({8, 8}, at::kDouble);
  ops::AttentionBias bias;
  Sample() {
    bias.hops = at::arange(16 + 1 + 9, at::kLong).remainder(3).to(at::kByte);
    bias.table = at::randn({3, 2}, at::kDouble);
    bias.pair = at::randn({16 + 1 + 9, 2}, at::kDouble);
  }
  AttentionGraph graph() const {
    return attention_graph(*layer, {.x = x, .graph_start = start, .bias = bias});
  }
  // Mean over heads of the softmax of graph 0's rows.
  at::Tensor first() const {
    const at::Tensor qkv = at::matmul(x.slice(0, 0, 4), layer->in_weight.t()) + layer->in_bias;
    at::Tensor sum = at::zeros({4, 4}, at::kDouble);
    for (std::int64_t h = 0; h < 2; ++h) {
      const at::Tensor q = qkv.slice(1, 4 * h, 4 * h + 4), k = qkv.slice(1, 8 + 4 * h, 12 + 4 * h);
      at::Tensor s = at::matmul(q, k.t()) / 2;
      s = s + bias.table.select(1, h)
                  .index_select(0, bias.hops.slice(0, 0, 16).to(at::kLong))
                  .view({4, 4});
      s = s + bias.pair.select(1, h).slice(0, 0, 16).view({4, 4});
      sum = sum + s.softmax(1) / 2;
    }
    return sum;
  }
};

TEST(AttentionScore, GivesTheWeightsOfTheLayerMeanOverHeads) {
  const Sample s;
  const at::Tensor p = s.graph().weight;
  EXPECT_LT(support::distance(p.slice(0, 0, 16).view({4, 4}), s.first()), 1e-12);
  EXPECT_NEAR(p[16].item<double>(), 1, 1e-12);  // alone in its graph
}

TEST(AttentionScore, OfACutAttentionIsThatOfItsHeads) {
  const Sample s;
  const at::Tensor qkv = at::matmul(s.x.slice(0, 0, 4), s.layer->in_weight.t()) + s.layer->in_bias;
  at::Tensor want = at::matmul(qkv.slice(1, 4, 8), qkv.slice(1, 12, 16).t()) / 2;
  want = want + s.bias.table.select(1, 1)
                    .index_select(0, s.bias.hops.slice(0, 0, 16).to(at::kLong))
                    .view({4, 4});
  want = (want + s.bias.pair.select(1, 1).slice(0, 0, 16).view({4, 4})).softmax(1);
  s.layer->keep_heads({1});
  EXPECT_LT(support::distance(s.graph().weight.slice(0, 0, 16).view({4, 4}), want), 1e-12);
}

TEST(AttentionScore, IsCounted) {
  const Sample s;
  const ops::FlopCount count;
  const AttentionGraph graph = s.graph();
  const double pairs = 16 + 1 + 9, linear = 8 * (2 * 8 * 16 + 16);
  EXPECT_EQ(count.total().total(), linear + pairs * (2 * 8 + 9 * 2) + 2 * 8 * 2);
  page_rank(graph, 3);
  EXPECT_EQ(count.total().total(), linear + pairs * (2 * 8 + 9 * 2) + 2 * 8 * 2 + 6 * pairs);
}

TEST(AttentionScore, PageRankIsThePowerOfTheTranspose) {
  const Sample s;
  const at::Tensor p = s.first().t();
  at::Tensor want = at::full({4, 1}, 0.25, at::kDouble);
  for (int t = 0; t < 3; ++t) want = at::matmul(p, want);
  EXPECT_LT(support::distance(page_rank(s.graph(), 3).slice(0, 0, 4).view({4, 1}), want), 1e-12);
}

TEST(AttentionScore, IsTheSameBitsForAnyThreadCount) {
  const Sample s;
  at::Tensor one;
  for (const std::size_t threads : {1, 2, 4}) {
    const tbb::global_control limit(tbb::global_control::max_allowed_parallelism, threads);
    const at::Tensor got = page_rank(s.graph(), 4);
    if (!one.defined()) one = got;
    EXPECT_TRUE(support::same_bits(got, one));
  }
}

TEST(AttentionScore, WhatLeavesGoesToItsReaders) {
  const Sample s;
  nn::KeptRows kept;
  kept.rows = ops::row_index(at::tensor({1, 3, 4, 5, 6, 7}, at::kLong), 8);
  kept.graph_start = at::tensor({0, 2, 3, 6}, at::kLong);
  const at::Tensor got = left_behind(s.graph(), s.x, kept);
  const at::Tensor p = s.first();
  const at::Tensor want = p[1][0] * s.x[0] + p[1][2] * s.x[2];
  EXPECT_LT(support::distance(got[0], want), 1e-12);
  EXPECT_EQ(got.slice(0, 2).abs().max().item<double>(), 0);
}

}  // namespace
}  // namespace gtrain::sparsify

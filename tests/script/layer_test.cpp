#include "gtrain/script/layer.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gtrain/ops/edge_attention.h"
#include "gtrain/ops/message.h"
#include "gtrain/ops/varlen_attention.h"
#include "support/edge_batch.h"

namespace gtrain::script {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

struct Batch {
  support::EdgeBatch b = support::pack_odd_graphs();
  at::Tensor x = at::randn({b.nodes, 8}), e = at::randn({b.edges.count(), 8});
  const at::Tensor& source = b.edges.source;
  const at::Tensor& target = b.edges.target;
};

TEST(ScriptLayer, LinearActivates) {
  const at::Tensor x = at::randn({5, 3}), w = at::randn({4, 3}), bias = at::randn({4});
  const at::Tensor plain = at::linear(x, w, bias);
  EXPECT_TRUE(linear(x, w, bias, "none").allclose(plain, 1e-5, 1e-6));
  EXPECT_TRUE(linear(x, w, bias, "relu").allclose(at::relu(plain), 1e-5, 1e-6));
  EXPECT_TRUE(linear(x, w, bias, "gelu").allclose(at::gelu(plain), 1e-5, 1e-6));
  EXPECT_TRUE(linear(x, w, {}, "none").allclose(at::linear(x, w), 1e-5, 1e-6));
  const at::Tensor deep = at::randn({2, 5, 3});
  EXPECT_TRUE(
      linear(deep, w, bias, "gelu").allclose(at::gelu(at::linear(deep, w, bias)), 1e-5, 1e-6));
  const at::Tensor row = at::randn({3}), none = at::zeros({2, 5, 0});
  EXPECT_TRUE(
      linear(row, w, bias, "gelu").allclose(at::gelu(at::linear(row, w, bias)), 1e-5, 1e-6));
  EXPECT_TRUE(linear(none, w.slice(1, 0, 0), bias, "none").equal(bias.expand({2, 5, 4})));
  EXPECT_THAT([&] { linear(x, w, {}, "tanh"); },
              ThrowsMessage<std::exception>(HasSubstr("got tanh")));
}

TEST(ScriptLayer, LinearRefusesANumber) {
  EXPECT_THAT(
      [] {
        linear(at::ones({}), at::ones({1, 1}), {}, "none");
      },
      ThrowsMessage<std::exception>(HasSubstr("linear: x has shape []")));
}

TEST(ScriptLayer, NormsAddTheirResidual) {
  const Batch in;
  const at::Tensor r = at::randn_like(in.x), w = at::rand({8}), bias = at::randn({8});
  const at::Tensor mean = at::randn({8}), variance = at::rand({8}) + 0.5;
  EXPECT_TRUE(
      batch_norm(in.x, r, w, bias, mean, variance)
          .allclose(at::batch_norm(in.x + r, w, bias, mean, variance, false, 0.1, 1e-5, false),
                    1e-5, 1e-5));
  EXPECT_TRUE(
      layer_norm(in.x, r, w, bias).allclose(at::layer_norm(in.x + r, {8}, w, bias), 1e-5, 1e-5));
  EXPECT_TRUE(graph_norm(in.x, r, w, bias, in.b.graph)
                  .allclose(graph_norm(in.x + r, {}, w, bias, in.b.graph), 1e-5, 1e-5));
  EXPECT_TRUE(activate(in.x, "relu", r).allclose(at::relu(in.x) + r, 1e-6, 1e-6));
}

TEST(ScriptLayer, EdgeOperatorsAreThoseOfTheEdgeIndexToTheBit) {
  const Batch in;
  EXPECT_TRUE(
      gine(in.x, in.e, in.source, in.target).equal(ops::gine_aggregate(in.x, in.e, in.b.edges)));
  const at::Tensor abde = at::randn({in.b.nodes, 32});
  const auto want = ops::gated_gcn(abde, in.e, in.b.edges);
  const auto got = gated_gcn(abde, in.e, in.source, in.target);
  EXPECT_TRUE(std::get<0>(got).equal(want.first));
  EXPECT_TRUE(std::get<1>(got).equal(want.second));
  const at::Tensor self = at::randn({in.b.nodes}), weight = at::randn({in.b.edges.count()});
  EXPECT_TRUE(aggregate(in.x, self, weight, in.source, in.target)
                  .equal(ops::weighted_aggregate(in.x, self, weight, in.b.edges)));
  const auto pattern = ops::neighbour_pattern(in.b.graph_start, in.b.edges);
  const auto attended = ops::edge_attention(in.x, in.x * 2, in.x * 3, in.e, pattern,
                                            {.heads = 2, .edge_output = true});
  const auto scripted =
      edge_attention(in.x, in.x * 2, in.x * 3, in.e, in.source, in.target, 2, 5, 1e-6, true, 0);
  EXPECT_TRUE(std::get<0>(scripted).equal(attended.first));
  EXPECT_TRUE(std::get<1>(scripted).equal(attended.second));
  EXPECT_EQ(
      std::get<1>(edge_attention(in.x, in.x, in.x, {}, in.source, in.target, 2, 5, 0, true, 0))
          .size(0),
      0);
}

TEST(ScriptLayer, ChainsAreTheirOperatorsOneAfterAnother) {
  const Batch in;
  const at::Tensor w = at::randn({12, 8}), b = at::randn({12}), w1 = at::randn({8, 12});
  const at::Tensor scale = at::randn({8}), r = at::randn_like(in.x);
  const at::Tensor hidden = linear(in.x, w, b, "gelu"), out = linear(hidden, w1, {}, "none");
  EXPECT_TRUE(feed_forward(in.x, w, b, "gelu", w1, {}, {}, {}).allclose(out, 1e-5, 1e-5));
  EXPECT_TRUE(feed_forward(in.x, w, b, "gelu", w1, {}, {r, in.x}, {scale, scale})
                  .allclose(out + (r + in.x) * scale, 1e-5, 1e-5));
  EXPECT_TRUE(linear_sum(hidden, w1, {}, "relu", {r}, {}).allclose(at::relu(out) + r, 1e-5, 1e-5));
  EXPECT_THAT(
      [&] {
        linear_sum(hidden, w1, {}, "relu", {r, r}, {scale});
      },
      ThrowsMessage<std::exception>(HasSubstr("scales: are 1")));
}

TEST(ScriptLayer, GatedLayersAreTheirOperatorsOneAfterAnother) {
  const Batch in;
  const at::Tensor w = at::randn({32, 8}), b = at::randn({32}), c = at::randn({8, 8});
  const at::Tensor cb = at::randn({8}), mean = at::randn({8}), variance = at::rand({8}) + 0.5;
  const std::vector<at::Tensor> norm{at::rand({8}), cb, mean, variance}, weights{w, b, c, cb};
  const auto gated =
      gated_gcn(linear(in.x, w, b, "none"), linear(in.e, c, cb, "none"), in.source, in.target);
  const auto normed = [&](const at::Tensor& x, const at::Tensor& residual) {
    return activate(batch_norm(x, {}, norm[0], norm[1], mean, variance), "relu", residual);
  };
  const auto got = gated_layer(in.x, in.e, weights, norm, norm, "relu", in.source, in.target);
  EXPECT_TRUE(std::get<0>(got).allclose(normed(std::get<0>(gated), in.x), 1e-5, 1e-5));
  EXPECT_TRUE(std::get<1>(got).allclose(normed(std::get<1>(gated), in.e), 1e-5, 1e-5));
  EXPECT_THAT(
      [&] { gated_layer(in.x, in.e, weights, weights, mean, "relu", in.source, in.target); },
      ThrowsMessage<std::exception>(HasSubstr("norm_e: has 1 tensors")));
}

TEST(ScriptLayer, EdgesThatDescendAreRefused) {
  const Batch in;
  EXPECT_THAT([&] { gine(in.x, in.e, in.source, in.target.flip(0)); },
              ThrowsMessage<std::exception>(HasSubstr("edge_index: is not ascending")));
}

TEST(ScriptLayer, AttentionAddsTheBiasOfPairs) {
  const Batch in;
  const at::Tensor qkv = at::randn({in.b.nodes, 24});
  const at::Tensor count = in.b.graph_start.slice(0, 1) - in.b.graph_start.slice(0, 0, -1);
  const at::Tensor bias = at::randn({(count * count).sum().item<std::int64_t>(), 2});
  ops::VarlenOptions options;
  options.bias.pair = bias;
  EXPECT_TRUE(varlen_attention(qkv, in.b.graph, 2, bias)
                  .equal(ops::varlen_attention(qkv, in.b.graph_start, 2, options)));
  EXPECT_TRUE(varlen_attention(qkv, in.b.graph, 2, {})
                  .equal(ops::varlen_attention(qkv, in.b.graph_start, 2)));
}

TEST(ScriptLayer, ReductionsKeepWhatStandsBehindTheRows) {
  const at::Tensor index = at::tensor({0, 0, 2}, at::kLong);
  const at::Tensor x = at::tensor({1.0f, -2.0f, 3.0f, 5.0f, -7.0f, 8.0f}).view({3, 1, 2});
  const auto expect = [&](const char* kind, const std::vector<float>& want) {
    EXPECT_TRUE(reduce(x, index, 3, kind).equal(at::tensor(want).view({3, 1, 2}))) << kind;
  };
  expect("sum", {4, 3, 0, 0, -7, 8});
  expect("mean", {2, 1.5, 0, 0, -7, 8});
  expect("max", {3, 5, 0, 0, -7, 8});
  expect("min", {1, -2, 0, 0, -7, 8});
  EXPECT_TRUE(softmax(x, index, 3)[2].equal(at::ones({1, 2})));
  EXPECT_THAT([&] { reduce(x, index, 3, "median"); },
              ThrowsMessage<std::exception>(HasSubstr("got median")));
}

TEST(ScriptLayer, EmbeddingsAddUpAndNameWhatTheyDoNotHave) {
  const at::Tensor a = at::randn({3, 4}), b = at::randn({2, 4});
  const at::Tensor ids = at::tensor({2, 1, 0, 0}, at::kLong).view({2, 2});
  EXPECT_TRUE(embed(ids, {a, b}, false).equal(at::stack({a[2] + b[1], a[0] + b[0]})));
  EXPECT_TRUE(embed(ids + 1, {a, b}, true).equal(at::stack({a[2] + b[1], a[1] + b[1]})));
  EXPECT_THAT(
      [&] {
        embed(ids + 1, {a, b}, false);
      },
      ThrowsMessage<std::exception>(
          HasSubstr("row 0 column 0 holds 3; expected a category from 0 to 2")));
  for (const at::Tensor& narrow : {b.slice(1, 0, 2), b.select(0, 0), b.to(at::kDouble)}) {
    EXPECT_THAT(
        [&] {
          embed(ids, {a, narrow}, false);
        },
        ThrowsMessage<std::exception>(HasSubstr("embed: a table has shape")));
  }
}

}  // namespace
}  // namespace gtrain::script

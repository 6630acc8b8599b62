#include "gtrain/ops/meta.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "gtrain/ops/batch_norm.h"
#include "gtrain/ops/dropout.h"
#include "gtrain/ops/edge_attention.h"
#include "gtrain/ops/gather.h"
#include "gtrain/ops/layer_norm.h"
#include "gtrain/ops/linear_attention.h"
#include "gtrain/ops/message.h"
#include "gtrain/ops/row.h"
#include "gtrain/ops/segment.h"
#include "gtrain/ops/sparse_attention.h"
#include "gtrain/ops/top_m.h"
#include "gtrain/ops/varlen_attention.h"
#include "support/edge_batch.h"

namespace gtrain {
namespace {

using Tensors = std::vector<at::Tensor>;

struct Case {
  std::string name;
  std::function<Tensors(const Tensors&)> run;
  Tensors inputs;  // float, on the CPU; all of them take a gradient
};

at::Tensor random(std::vector<std::int64_t> sizes) { return at::randn(sizes, at::kFloat); }

// Four nodes in graphs of one and three; five edges.
const std::int64_t kNodes = 4, kEdges = 5;
at::Tensor graph_start() { return at::tensor({0, 1, 4}, at::kLong); }
at::Tensor entries() { return at::tensor({1, 2, 1, 3, 2}, at::kLong); }

ops::EdgeIndex edges() {
  const ops::RowIndex into = ops::row_index(at::tensor({1, 1, 2, 2, 3}, at::kLong), kNodes);
  const ops::RowIndex from = ops::row_index(at::tensor({2, 3, 1, 3, 1}, at::kLong), kNodes);
  return {from.index, into.index, into.start, from.start, from.position};
}

ops::AttentionPattern pattern() { return ops::neighbour_pattern(graph_start(), edges()); }

std::vector<Case> row_cases() {
  const ops::RowIndex index = ops::row_index(entries(), kNodes);
  const auto start = graph_start();
  const at::Tensor x = random({kNodes, 6}), row = random({6});
  return {
      {"segment_sum", [=](auto& t) { return Tensors{ops::segment_sum(t[0], start)}; }, {x}},
      {"segment_mean", [=](auto& t) { return Tensors{ops::segment_mean(t[0], start)}; }, {x}},
      {"segment_max", [=](auto& t) { return Tensors{ops::segment_max(t[0], start)}; }, {x}},
      {"segment_softmax", [=](auto& t) { return Tensors{ops::segment_softmax(t[0], start)}; }, {x}},
      {"gather", [=](auto& t) { return Tensors{ops::gather(t[0], index)}; }, {x}},
      {"scatter_add",
       [=](auto& t) { return Tensors{ops::scatter_add(t[0], index)}; },
       {random({kEdges, 6})}},
      {"dropout", [](auto& t) { return Tensors{ops::dropout(t[0], 0.5, 1, t[1])}; }, {x, x}},
      {"activate_rows",
       [](auto& t) {
         return Tensors{ops::activate_rows(t[0], t[1], {ops::RowActivation::kGelu, 0.5, 1}, t[2])};
       },
       {x, row, x}},
      {"layer_norm",
       [](auto& t) { return Tensors{ops::layer_norm(t[0], t[1], t[2], t[3])}; },
       {x, x, row, row}},
      {"graph_norm",
       [=](auto& t) { return Tensors{ops::graph_norm(t[0], {}, t[1], t[2], start)}; },
       {x, row, row}},
      {"batch_norm",
       [](auto& t) {
         const at::Tensor mean = at::zeros({6}), variance = at::ones({6});
         return Tensors{ops::batch_norm(t[0], t[1], {t[2], t[3], mean, variance}, true, 0.5, 1)};
       },
       {x, x, row, row}},
  };
}

std::vector<Case> graph_cases() {
  const ops::EdgeIndex e = edges();
  const ops::AttentionPattern p = pattern();
  const auto start = graph_start();
  const at::Tensor x = random({kNodes, 6}), edge = random({kEdges, 6});
  ops::VarlenOptions biased;
  biased.dropout = 0.5;
  biased.bias.hops = at::zeros({10}, at::kByte);
  return {
      {"gine", [=](auto& t) { return Tensors{ops::gine_aggregate(t[0], t[1], e)}; }, {x, edge}},
      {"gated_gcn",
       [=](auto& t) {
         const auto [h, made] = ops::gated_gcn(t[0], t[1], e);
         return Tensors{h, made};
       },
       {random({kNodes, 24}), edge}},
      {"sparse_attention",
       [=](auto& t) {
         return Tensors{
             ops::sparse_attention(t[0], t[1], t[2], p, {.heads = 2, .pair_bias = t[3]})};
       },
       {x, x, x, random({kEdges, 2})}},
      {"edge_attention",
       [=](auto& t) {
         const auto [out, w] =
             ops::edge_attention(t[0], t[1], t[2], t[3], p, {.heads = 2, .edge_output = true});
         return Tensors{out, w};
       },
       {x, x, x, edge}},
      {"varlen_attention",
       [=](auto& t) {
         ops::VarlenOptions options = biased;
         options.bias.table = t[1];
         options.bias.pair = t[2];
         return Tensors{ops::varlen_attention(t[0], start, 2, options)};
       },
       {random({kNodes, 18}), random({3, 2}), random({10, 2})}},
      {"linear_attention",
       [=](auto& t) {
         const at::Tensor projection = at::ones({5, 3}, t[0].options().requires_grad(false));
         return Tensors{ops::linear_attention(t[0], projection, start, 2)};
       },
       {random({kNodes, 18})}},
  };
}

std::vector<Case> cases() {
  std::vector<Case> all = row_cases();
  for (Case& c : graph_cases()) all.push_back(std::move(c));
  return all;
}

at::Tensor on_meta(const at::Tensor& t) { return t.detach().to(at::kMeta).requires_grad_(); }

class MetaOp : public ::testing::TestWithParam<std::size_t> {
 protected:
  void SetUp() override {
    if (!ops::has_meta()) GTEST_SKIP() << "built with CUDA kernels";
  }
};

TEST_P(MetaOp, PutsOutTheShapesOfTheCpuAndGradientsOfItsInputs) {
  const Case c = cases()[GetParam()];
  SCOPED_TRACE(c.name);
  Tensors inputs;
  for (const at::Tensor& t : c.inputs) inputs.push_back(on_meta(t));
  const Tensors expected = c.run(c.inputs), found = c.run(inputs);
  ASSERT_EQ(found.size(), expected.size());
  Tensors gradients;
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_TRUE(found[i].is_meta());
    EXPECT_EQ(found[i].sizes(), expected[i].sizes());
    EXPECT_EQ(found[i].scalar_type(), expected[i].scalar_type());
  }
  found[0].backward(at::empty_like(found[0]));
  for (const at::Tensor& t : inputs) {
    ASSERT_TRUE(t.grad().defined());
    EXPECT_EQ(t.grad().sizes(), t.sizes());
  }
}

TEST_P(MetaOp, RefusesAnOperandThatStayedOnTheCpu) {
  const Case c = cases()[GetParam()];
  SCOPED_TRACE(c.name);
  for (std::size_t i = 1; i < c.inputs.size(); ++i) {
    Tensors inputs;
    for (const at::Tensor& t : c.inputs) inputs.push_back(on_meta(t));
    inputs[i] = c.inputs[i];
    EXPECT_THROW(c.run(inputs), c10::Error) << "input " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Every, MetaOp, ::testing::Range<std::size_t>(0, 17),
                         [](const auto& p) { return cases()[p.param].name; });

TEST(MetaOps, AreAllAmongTheCases) { EXPECT_EQ(cases().size(), 17U); }

TEST(MetaOps, WhichRowsStayDependsOnNumbers) {
  EXPECT_THROW(ops::top_m(at::empty({4}, at::kMeta), graph_start(), 1), c10::Error);
}

}  // namespace
}  // namespace gtrain

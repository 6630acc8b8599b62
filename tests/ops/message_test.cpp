#include "gtrain/ops/message.h"

#include "gtrain/ops/reference.h"
#include "support/edge_batch.h"

namespace gtrain {
namespace {

using support::EdgeBatch;
using Tensors = std::vector<at::Tensor>;

support::Operation gine(const EdgeBatch& b) {
  return [=](const Tensors& in) -> Tensors { return {ops::gine_aggregate(in[0], in[1], b.edges)}; };
}
support::Operation gated(const EdgeBatch& b) {
  return [=](const Tensors& in) -> Tensors {
    const auto [h, ehat] = ops::gated_gcn(in[0], in[1], b.edges);
    return {h, ehat};
  };
}

Tensors gine_inputs(const EdgeBatch& b, std::int64_t d) {
  return {at::randn({b.nodes, d}, at::kDouble), at::randn({b.edges.count(), d}, at::kDouble)};
}
Tensors gated_inputs(const EdgeBatch& b, std::int64_t d) {
  return {at::randn({b.nodes, 4 * d}, at::kDouble), at::randn({b.edges.count(), d}, at::kDouble)};
}

support::Operation composed_gine(const EdgeBatch& b) {
  return [=](const Tensors& in) -> Tensors {
    return {ops::reference::gine_aggregate(in[0], in[1], b.edges)};
  };
}
support::Operation composed_gated(const EdgeBatch& b) {
  return [=](const Tensors& in) -> Tensors {
    const auto [h, ehat] = ops::reference::gated_gcn(in[0], in[1], b.edges);
    return {h, ehat};
  };
}

void expect_laws(const EdgeBatch& b, std::int64_t d, const std::vector<at::ScalarType>& types) {
  SCOPED_TRACE(d);
  support::expect_kernel_law(gine(b), composed_gine(b), gine_inputs(b, d), types);
  support::expect_kernel_law(gated(b), composed_gated(b), gated_inputs(b, d), types);
  const at::Tensor self = at::randn({b.nodes}, at::kDouble);
  const at::Tensor weight = at::randn({b.edges.count()}, at::kDouble);
  const auto with = [&](auto* f) {
    return [&, f](const Tensors& in) -> Tensors {
      // Rounded to the type under test, as its inputs are.
      const auto type = in[0].scalar_type();
      const auto rounded = [&](const at::Tensor& t) { return t.to(at::kBFloat16).to(type); };
      return {f(in[0], rounded(self), rounded(weight), b.edges)};
    };
  };
  support::expect_kernel_law(with(ops::weighted_aggregate),
                             with(ops::reference::weighted_aggregate),
                             {at::randn({b.nodes, d}, at::kDouble)}, types);
}

TEST(Message, EqualsGatherAndScatterOnOddGraphs) {
  at::manual_seed(1);
  const EdgeBatch b = support::pack_odd_graphs();
  for (const std::int64_t d : {1, 7, 16, 19, 64, 83}) expect_laws(b, d, support::all_types());
}

TEST(Message, EqualsGatherAndScatterOnRandomGraphs) {
  at::manual_seed(2);
  std::int64_t d = 1;
  for (const EdgeBatch& b : support::random_batches()) {
    expect_laws(b, d, support::types_in_turn(static_cast<std::size_t>(d)));
    d = d % 37 + 5;
  }
}

TEST(Message, GradientsEqualFiniteDifferences) {
  const EdgeBatch b = support::pack({support::star(4), support::edgeless(1), support::cycle(3)});
  support::expect_gradients(gine(b), gine_inputs(b, 3));
  support::expect_gradients(gated(b), gated_inputs(b, 3));
  const at::Tensor self = at::randn({b.nodes}, at::kDouble);
  const at::Tensor weight = at::randn({b.edges.count()}, at::kDouble);
  support::expect_gradients(
      [&](const Tensors& in) -> Tensors {
        return {ops::weighted_aggregate(in[0], self, weight, b.edges)};
      },
      {at::randn({b.nodes, 3}, at::kDouble)});
}

TEST(GatedGcn, NodeWithoutInEdgesKeepsItsOwnProjection) {
  const EdgeBatch b = support::pack({support::edgeless(3)});
  const at::Tensor abde = at::randn({3, 8});
  const auto [h, ehat] = ops::gated_gcn(abde, at::zeros({0, 2}), b.edges);
  EXPECT_EQ(support::distance(h, abde.slice(1, 0, 2)), 0);
  EXPECT_EQ(ehat.size(0), 0);
}

TEST(GineAggregate, NanIsNotHiddenByRelu) {
  const EdgeBatch b = support::pack({support::directed_path(2)});
  const at::Tensor e = at::full({1, 3}, std::numeric_limits<float>::quiet_NaN());
  EXPECT_TRUE(ops::gine_aggregate(at::zeros({2, 3}), e, b.edges)[1].isnan().all().item<bool>());
}

TEST(Message, BitsDoNotDependOnTheThreadCount) {
  std::vector<support::OddGraph> graphs;
  for (std::int64_t n = 30; n < 80; ++n) graphs.push_back(support::grid(5, n));
  const EdgeBatch b = support::pack(graphs);
  Tensors g = gine_inputs(b, 16), a = gated_inputs(b, 16);
  for (at::Tensor& t : g) t = t.to(at::kFloat);
  for (at::Tensor& t : a) t = t.to(at::kFloat);
  support::expect_thread_independent(gine(b), g);
  support::expect_thread_independent(gated(b), a);
}

TEST(GatedGcn, OneOutputAloneTakesItsGradient) {
  at::manual_seed(3);
  const EdgeBatch b = support::pack({support::star(4), support::cycle(3)});
  for (const std::size_t which : {0, 1}) {
    const auto one = [which](const support::Operation& f) {
      return [=](const Tensors& in) -> Tensors { return {f(in)[which]}; };
    };
    support::expect_kernel_law(one(gated(b)), one(composed_gated(b)), gated_inputs(b, 5));
  }
}

TEST(Message, RefusesEdgesThatItCannotReadAsTheyAre) {
  const EdgeBatch b = support::pack({support::path(3)});
  for (at::Tensor ops::EdgeIndex::*part :
       {&ops::EdgeIndex::source, &ops::EdgeIndex::target, &ops::EdgeIndex::in_start,
        &ops::EdgeIndex::out_start, &ops::EdgeIndex::out_edge}) {
    const at::Tensor good = b.edges.*part;
    for (const at::Tensor& bad :
         {good.to(at::kInt), good.slice(0, 1), good + 1, at::stack({good, good}, 1).select(1, 0)}) {
      if (part != &ops::EdgeIndex::in_start && part != &ops::EdgeIndex::out_start &&
          bad.is_contiguous() && bad.sizes() == good.sizes() && bad.scalar_type() == at::kLong) {
        continue;  // the ends themselves are not looked at
      }
      ops::EdgeIndex edges = b.edges;
      edges.*part = bad;
      EXPECT_THROW(ops::gine_aggregate(at::zeros({3, 2}), at::zeros({4, 2}), edges), c10::Error);
    }
  }
}

TEST(Message, RefusesShapesThatDoNotFit) {
  const EdgeBatch b = support::pack({support::path(3)});
  EXPECT_THROW(ops::gine_aggregate(at::zeros({4, 2}), at::zeros({4, 2}), b.edges), c10::Error);
  EXPECT_THROW(ops::gine_aggregate(at::zeros({3, 2}), at::zeros({4, 3}), b.edges), c10::Error);
  EXPECT_THROW(ops::gated_gcn(at::zeros({3, 8}), at::zeros({4, 3}), b.edges), c10::Error);
  EXPECT_THROW(
      ops::weighted_aggregate(at::zeros({3, 2}), at::zeros({3, 2}), at::zeros({4}), b.edges),
      c10::Error);
}

}  // namespace
}  // namespace gtrain

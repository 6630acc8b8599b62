#include "gtrain/ops/gated_layer.h"

#include <gmock/gmock.h>

#include "gtrain/ops/linear.h"
#include "gtrain/ops/message.h"
#include "support/edge_batch.h"

namespace gtrain::ops {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

GatedLayer random_layer(std::int64_t d, at::ScalarType type, RowActivation activation) {
  const auto random = [&](std::vector<std::int64_t> shape) {
    return (0.3 * at::randn(shape, at::kDouble)).to(type);
  };
  const auto norm = [&] {
    return BatchNormState{random({d}) + 1, random({d}), random({d}), random({d}).abs() + 0.5};
  };
  return {{random({4 * d, d}), random({4 * d})},
          {random({d, d}), random({d})},
          norm(),
          norm(),
          activation};
}

std::pair<at::Tensor, at::Tensor> one_by_one(const at::Tensor& x, const at::Tensor& e,
                                             const GatedLayer& layer, const EdgeIndex& edges) {
  const auto [h, ehat] = gated_gcn(linear(x, layer.nodes.weight, layer.nodes.bias),
                                   linear(e, layer.edges.weight, layer.edges.bias), edges);
  const RowOptions act{.activation = layer.activation};
  return {activate_rows(batch_norm(h, {}, layer.norm_x, false), {}, act, x),
          activate_rows(batch_norm(ehat, {}, layer.norm_e, false), {}, act, e)};
}

TEST(GatedLayer, IsTheOpsOneByOne) {
  std::vector<support::EdgeBatch> batches = support::random_batches();
  batches.push_back(support::pack_odd_graphs());
  batches.push_back(support::pack({support::star(700)}));
  for (const support::EdgeBatch& b : batches) {
    for (const auto type : {at::kFloat, at::kDouble, at::kBFloat16}) {
      for (const auto activation : {RowActivation::kRelu, RowActivation::kGelu}) {
        const GatedLayer layer = random_layer(21, type, activation);
        const at::Tensor x = at::randn({b.nodes, 21}, at::kDouble).to(type);
        const at::Tensor e = at::randn({b.edges.count(), 21}, at::kDouble).to(type);
        const auto want = one_by_one(x, e, layer, b.edges);
        const auto got = gated_layer(x, e, layer, b.edges);
        const double bound = type == at::kFloat ? 1e-5 : type == at::kDouble ? 1e-12 : 0;
        EXPECT_TRUE(got.first.allclose(want.first, bound, bound)) << type << " " << b.nodes;
        EXPECT_TRUE(got.second.allclose(want.second, bound, bound)) << type << " " << b.nodes;
      }
    }
  }
}

TEST(GatedLayer, HasTheSameBitsForAnyNumberOfThreads) {
  const support::EdgeBatch b = support::pack({support::random_graph(7, 900, 0.02)});
  const GatedLayer layer = random_layer(16, at::kFloat, RowActivation::kRelu);
  const at::Tensor x = at::randn({b.nodes, 16}), e = at::randn({b.edges.count(), 16});
  const auto with = [&](int threads) {
    const tbb::global_control limit(tbb::global_control::max_allowed_parallelism,
                                    static_cast<std::size_t>(threads));
    tbb::task_arena arena(threads);
    std::pair<at::Tensor, at::Tensor> out;
    arena.execute([&] { out = gated_layer(x, e, layer, b.edges); });
    return out;
  };
  const auto one = with(1);
  for (const int threads : {2, 4}) {
    const auto more = with(threads);
    EXPECT_TRUE(support::same_bits(more.first, one.first)) << threads;
    EXPECT_TRUE(support::same_bits(more.second, one.second)) << threads;
  }
}

TEST(GatedLayer, NamesWhatDoesNotFit) {
  const support::EdgeBatch b = support::pack_odd_graphs();
  const GatedLayer layer = random_layer(4, at::kFloat, RowActivation::kRelu);
  const at::Tensor x = at::randn({b.nodes, 4}), e = at::randn({b.edges.count(), 4});
  EXPECT_THAT([&] { gated_layer(x, e.slice(1, 1), layer, b.edges); },
              ThrowsMessage<std::exception>(HasSubstr("[gated_layer] edge has shape")));
  EXPECT_THAT([&] { gated_layer(x.slice(0, 1), e, layer, b.edges); },
              ThrowsMessage<std::exception>(HasSubstr("[gated_layer] x has shape")));
  const auto refuses = [&](const char* message, auto spoil) {
    GatedLayer wrong = layer;
    spoil(wrong);
    EXPECT_THAT([&] { gated_layer(x, e, wrong, b.edges); },
                ThrowsMessage<std::exception>(HasSubstr(message)));
  };
  refuses("weight of nodes has shape [8, 4]", [](auto& l) { l.nodes.weight = at::randn({8, 4}); });
  refuses("bias of nodes has shape [1]", [](auto& l) { l.nodes.bias = at::randn({1}); });
  refuses("weight of edges has shape [4, 4] and type Double",
          [](auto& l) { l.edges.weight = l.edges.weight.to(at::kDouble); });
  refuses("bias of edges has shape [1]", [](auto& l) { l.edges.bias = at::randn({1}); });
  refuses("a norm has shape [5]", [](auto& l) { l.norm_x.running_mean = at::randn({5}); });
  refuses("a norm has shape [3]", [](auto& l) { l.norm_e.weight = at::randn({3}); });
}

}  // namespace
}  // namespace gtrain::ops

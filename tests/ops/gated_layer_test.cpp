#include "gtrain/ops/gated_layer.h"

#include <gmock/gmock.h>

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

at::Tensor dense(const at::Tensor& x, const DenseLayer& layer) {
  return at::matmul(x, layer.weight.to(at::kDouble).t()) + layer.bias.to(at::kDouble);
}

at::Tensor added(const at::Tensor& y, const BatchNormState& norm, RowActivation activation,
                 const at::Tensor& residual) {
  const auto exact = [](const at::Tensor& t) { return t.to(at::kDouble); };
  const at::Tensor scale = exact(norm.weight) / at::sqrt(exact(norm.running_var) + norm.eps);
  const at::Tensor normed = (y - exact(norm.running_mean)) * scale + exact(norm.bias);
  return residual + (activation == RowActivation::kRelu ? at::relu(normed) : at::gelu(normed));
}

// The equation in double, of ATen alone.
std::pair<at::Tensor, at::Tensor> written_out(const at::Tensor& x, const at::Tensor& e,
                                              const GatedLayer& layer, const EdgeIndex& edges) {
  const std::vector<at::Tensor> abde = dense(x, layer.nodes).chunk(4, 1);
  const at::Tensor ehat = abde[2].index_select(0, edges.target) +
                          abde[3].index_select(0, edges.source) + dense(e, layer.edges);
  const at::Tensor gate = at::sigmoid(ehat), zero = at::zeros_like(x);
  const at::Tensor sum =
      zero.index_add(0, edges.target, gate * abde[1].index_select(0, edges.source));
  const at::Tensor h = abde[0] + sum / (zero.index_add(0, edges.target, gate) + 1e-6);
  return {added(h, layer.norm_x, layer.activation, x),
          added(ehat, layer.norm_e, layer.activation, e)};
}

TEST(GatedLayer, IsItsEquationForAnyGraph) {
  std::vector<support::EdgeBatch> batches = support::random_batches();
  batches.push_back(support::pack_odd_graphs());
  batches.push_back(support::pack({support::star(700)}));
  for (const support::EdgeBatch& b : batches) {
    for (const auto type : {at::kFloat, at::kDouble, at::kBFloat16}) {
      for (const auto activation : {RowActivation::kRelu, RowActivation::kGelu}) {
        const GatedLayer layer = random_layer(21, type, activation);
        const at::Tensor x = at::randn({21, b.nodes}, at::kDouble).to(type).t();
        const at::Tensor e = at::randn({21, b.edges.count()}, at::kDouble).to(type).t();
        const auto want = written_out(x.to(at::kDouble), e.to(at::kDouble), layer, b.edges);
        const auto got = gated_layer(x, e, layer, b.edges);
        const double bound = type == at::kFloat ? 2e-5 : type == at::kDouble ? 1e-12 : 0.15;
        const auto close = [&](const at::Tensor& found, const at::Tensor& exact) {
          return found.to(at::kDouble).allclose(exact, bound, bound);
        };
        EXPECT_TRUE(close(got.first, want.first)) << type << " " << b.nodes;
        EXPECT_TRUE(close(got.second, want.second)) << type << " " << b.nodes;
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

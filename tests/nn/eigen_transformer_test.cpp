#include "gtrain/nn/eigen_transformer.h"

#include <cmath>
#include <limits>

#include "support/layer_case.h"

namespace gtrain {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr std::int64_t kWidth = 8, kHeads = 2;

std::shared_ptr<nn::EigenTransformer> layer_with(double dropout, std::int64_t normalised = 0) {
  const nn::EigenpairShape shape{kWidth, 1, normalised, nn::SignFlip::kNone};
  return support::ready(std::make_shared<nn::EigenTransformer>(
      shape, nn::EigenTransformer::Options{2, kHeads, 12, dropout}));
}

// Five nodes of one graph with three pairs, then one with a single pair.
struct Pairs {
  at::Tensor values, vectors, graph;
};

Pairs some_pairs() {
  Pairs p;
  p.vectors = at::randn({6, 3}, at::kDouble);
  p.values = at::tensor({0.0, 0.4, 1.7}, at::kDouble).unsqueeze(0).repeat({6, 1});
  p.graph = at::tensor({0, 0, 0, 0, 0, 1}, at::kLong);
  for (at::Tensor* t : {&p.values, &p.vectors}) t->slice(0, 5).slice(1, 1).fill_(kNan);
  return p;
}

// The equations, for one node's sequence [k, 2].
at::Tensor sequence(nn::EigenTransformer& layer, const at::Tensor& pairs) {
  const auto p = layer.named_parameters();
  const auto linear = [&](const std::string& name, const at::Tensor& x) {
    return at::matmul(x, p[name + ".weight"].t()) + p[name + ".bias"];
  };
  const auto norm = [&](const std::string& name, const at::Tensor& x) {
    return at::layer_norm(x, {kWidth}, p[name + ".weight"], p[name + ".bias"], 1e-5);
  };
  at::Tensor h = linear("pair", pairs);
  for (const std::string block : {"block_0.", "block_1."}) {
    const std::string a = block + "attention.";
    const at::Tensor qkv = (at::matmul(h, p[a + "in_weight"].t()) + p[a + "in_bias"])
                               .view({-1, 3, kHeads, kWidth / kHeads})
                               .permute({1, 2, 0, 3});
    const at::Tensor score =
        at::matmul(qkv[0], qkv[1].transpose(1, 2)) / std::sqrt(double(kWidth / kHeads));
    const at::Tensor mixed =
        at::matmul(score.softmax(2), qkv[2]).transpose(0, 1).reshape({-1, kWidth});
    h = norm(block + "norm_0", h + at::matmul(mixed, p[a + "out_weight"].t()) + p[a + "out_bias"]);
    h = norm(block + "norm_1", h + linear(block + "feed_1", linear(block + "feed_0", h).relu()));
  }
  return linear("post_0", h.sum(0, true)).relu();
}

TEST(EigenTransformer, IsATransformerOverThePairsThatANodeHas) {
  const auto layer = layer_with(0.1);
  const Pairs p = some_pairs();
  nn::Context c = support::context(false);
  const at::Tensor got = layer->forward(p.values, p.vectors, p.graph, c);
  for (std::int64_t i = 0; i < 6; ++i) {
    const std::int64_t k = i < 5 ? 3 : 1;
    const at::Tensor own = at::stack({p.vectors[i], p.values[i]}, 1).slice(0, 0, k);
    EXPECT_LT(support::distance(got.slice(0, i, i + 1), sequence(*layer, own)), 1e-12) << i;
  }
}

TEST(EigenTransformer, IgnoresTheOrderOfThePairs) {
  const auto layer = layer_with(0.0);
  const Pairs p = some_pairs();
  const at::Tensor other = at::tensor({2, 0, 1}, at::kLong);
  nn::Context c = support::context(false);
  const at::Tensor before = layer->forward(p.values, p.vectors, p.graph, c);
  const at::Tensor after =
      layer->forward(p.values.index_select(1, other), p.vectors.index_select(1, other), p.graph, c);
  EXPECT_LT(support::distance(before, after), 1e-12);
}

TEST(EigenTransformer, DropsInTrainingOnly) {
  const auto layer = layer_with(0.5);
  const Pairs p = some_pairs();
  nn::Context evaluation = support::context(false), training = support::context(true, 1),
              other = support::context(true, 2);
  const at::Tensor plain = layer->forward(p.values, p.vectors, p.graph, evaluation);
  const at::Tensor first = layer->forward(p.values, p.vectors, p.graph, training);
  EXPECT_GT(support::distance(plain, first), 1e-3);
  EXPECT_GT(support::distance(first, layer->forward(p.values, p.vectors, p.graph, other)), 1e-3);
}

TEST(EigenTransformer, TakesABatchWithoutNodesAndGivesFiniteGradients) {
  const auto layer = layer_with(0.1, 3);
  const at::Tensor none = at::zeros({0, 3}, at::kDouble);
  nn::Context c = support::context(false);
  EXPECT_EQ(layer->forward(none, none, at::zeros({0}, at::kLong), c).sizes(),
            (std::vector<std::int64_t>{0, kWidth}));
  const Pairs p = some_pairs();
  nn::Context training = support::context(true);
  layer->forward(p.values, p.vectors, p.graph, training).sum().backward();
  for (const auto& q : layer->named_parameters()) {
    ASSERT_TRUE(q.value().grad().defined()) << q.key();
    EXPECT_TRUE(at::isfinite(q.value().grad()).all().item<bool>()) << q.key();
  }
}

}  // namespace
}  // namespace gtrain

#include "gtrain/nn/encoder.h"

#include <limits>

#include "support/layer_case.h"

namespace gtrain {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

TEST(RowEncoder, NormalisesThenMaps) {
  const auto layer = support::ready(std::make_shared<nn::RowEncoder>(4, 3, 0, true));
  const at::Tensor x = at::randn({20, 4}, at::kDouble) * 7 + 1;
  nn::Context c = support::context(true);
  const at::Tensor unit = (x - x.mean(0)) / at::sqrt(x.var(0, false) + 1e-5);
  const auto p = layer->named_parameters();
  const at::Tensor want = at::matmul(unit, p["linear_0.weight"].t()) + p["linear_0.bias"];
  EXPECT_LT(support::distance(layer->forward(x, c), want), 1e-12);
}

TEST(RowEncoder, MlpHasRectifiedLayersOfTwiceTheWidth) {
  const auto layer = support::ready(std::make_shared<nn::RowEncoder>(4, 3, 2, false));
  EXPECT_EQ(layer->named_parameters()["linear_0.weight"].sizes(),
            (std::vector<std::int64_t>{6, 4}));
  nn::Context c = support::context(true);
  const at::Tensor x = at::randn({9, 4}, at::kDouble);
  const auto p = layer->named_parameters();
  const auto layer_of = [&](const at::Tensor& in, const std::string& name) {
    return at::relu(at::linear(in, p[name + ".weight"], p[name + ".bias"]));
  };
  EXPECT_LT(support::distance(layer->forward(x, c), layer_of(layer_of(x, "linear_0"), "linear_1")),
            1e-12);
}

TEST(DeepSetEncoder, MissingEigenpairsDoNotCount) {
  const auto layer = support::ready(
      std::make_shared<nn::DeepSetEncoder>(nn::EigenpairShape{5, 0, 0, nn::SignFlip::kNone}, 2));
  const at::Tensor values = at::tensor({0.0, 1.5, kNan}, at::kDouble).view({1, 3});
  const at::Tensor vectors = at::tensor({0.7, -0.2, kNan}, at::kDouble).view({1, 3});
  const at::Tensor graph = at::zeros({1}, at::kLong);
  nn::Context c = support::context(true);
  const at::Tensor padded = layer->forward(values, vectors, graph, c);
  const at::Tensor cut = layer->forward(values.slice(1, 0, 2), vectors.slice(1, 0, 2), graph, c);
  EXPECT_LT(support::distance(padded, cut), 1e-14);
}

TEST(DeepSetEncoder, TakesABatchWithoutNodes) {
  const auto layer = support::ready(
      std::make_shared<nn::DeepSetEncoder>(nn::EigenpairShape{5, 1, 0, nn::SignFlip::kBatch}, 2));
  const at::Tensor none = at::zeros({0, 3}, at::kDouble);
  nn::Context c = support::context(true);
  EXPECT_EQ(layer->forward(none, none, at::zeros({0}, at::kLong), c).sizes(),
            (std::vector<std::int64_t>{0, 5}));
}

TEST(DeepSetEncoder, FlipsWholeColumnsInTrainingOnly) {
  const auto layer = support::ready(
      std::make_shared<nn::DeepSetEncoder>(nn::EigenpairShape{5, 1, 0, nn::SignFlip::kBatch}, 2));
  const at::Tensor values = at::rand({6, 2}, at::kDouble), vectors = at::randn({6, 2}, at::kDouble);
  const at::Tensor graph = at::tensor(std::vector<std::int64_t>{0, 0, 0, 1, 1, 1}, at::kLong);
  nn::Context evaluation = support::context(false);
  const at::Tensor plain = layer->forward(values, vectors, graph, evaluation);
  std::vector<at::Tensor> flipped;
  for (const double a : {1.0, -1.0}) {
    for (const double b : {1.0, -1.0}) {
      const at::Tensor signs = at::tensor({a, b}, at::kDouble);
      flipped.push_back(layer->forward(values, vectors * signs, graph, evaluation));
    }
  }
  EXPECT_EQ(support::distance(plain, flipped[0]), 0);
  std::vector<int> seen(4, 0);
  for (std::uint64_t key = 0; key < 64; ++key) {
    nn::Context training = support::context(true, key);
    const at::Tensor y = layer->forward(values, vectors, graph, training);
    int matches = 0;
    for (std::size_t i = 0; i < 4; ++i) {
      if (support::distance(y, flipped[i]) < 1e-14) ++matches, ++seen[i];
    }
    ASSERT_EQ(matches, 1);
  }
  for (const int s : seen) EXPECT_GT(s, 4);
}

TEST(DeepSetEncoder, CanFlipEachGraphOnItsOwn) {
  const auto layer = support::ready(
      std::make_shared<nn::DeepSetEncoder>(nn::EigenpairShape{5, 0, 0, nn::SignFlip::kGraph}, 2));
  const at::Tensor values = at::ones({40, 1}, at::kDouble),
                   vectors = at::ones({40, 1}, at::kDouble);
  nn::Context c = support::context(true);
  const at::Tensor y = layer->forward(values, vectors, at::arange(40, at::kLong), c);
  EXPECT_GT(y.std(0).max().item<double>(), 1e-3);  // some graphs flipped, some not
}

TEST(DeepSetEncoder, NormalisesEachPositionOverEntriesAndValuesTogether) {
  const auto layer = support::ready(
      std::make_shared<nn::DeepSetEncoder>(nn::EigenpairShape{5, 0, 2, nn::SignFlip::kNone}, 1));
  const at::Tensor values = at::rand({6, 2}, at::kDouble), vectors = at::randn({6, 2}, at::kDouble);
  const at::Tensor all = at::cat({values, vectors});  // [12, 2]
  const at::Tensor mean = all.mean(0), scale = at::sqrt(all.var(0, false) + 1e-5);
  const auto p = layer->named_parameters();
  at::Tensor want = at::zeros({6, 5}, at::kDouble);
  for (std::int64_t k = 0; k < 2; ++k) {
    const at::Tensor pairs =
        (at::stack({vectors.select(1, k), values.select(1, k)}, 1) - mean[k]) / scale[k];
    want = want + at::relu(at::matmul(pairs, p["set_0.weight"].t()) + p["set_0.bias"]);
  }
  nn::Context c = support::context(true);
  const at::Tensor got = layer->forward(values, vectors, at::zeros({6}, at::kLong), c);
  EXPECT_LT(support::distance(got, want), 1e-12);
}

TEST(EigenvectorEncoder, MapsEntriesAndTakesMissingOnesAsZero) {
  const auto layer =
      support::ready(std::make_shared<nn::EigenvectorEncoder>(3, 4, false, nn::SignFlip::kBatch));
  at::Tensor v = at::randn({5, 3}, at::kDouble);
  v.slice(0, 0, 2).slice(1, 2).fill_(kNan);
  const nn::EncoderGraph graph{at::zeros({5}, at::kLong), {}, {}};
  const auto p = layer->named_parameters();
  const auto mapped = [&](const at::Tensor& x) {
    return at::matmul(at::nan_to_num(x, 0.0), p["linear_0.weight"].t()) + p["linear_0.bias"];
  };
  nn::Context evaluation = support::context(false);
  EXPECT_LT(support::distance(layer->encode({v}, graph, evaluation), mapped(v)), 1e-13);
  nn::Context training = support::context(true);
  training.signs = at::tensor({1.0, -1.0, -1.0}, at::kDouble);
  EXPECT_LT(support::distance(layer->encode({v}, graph, training), mapped(v * training.signs)),
            1e-13);
}

}  // namespace
}  // namespace gtrain

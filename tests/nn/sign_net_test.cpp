#include "gtrain/nn/sign_net.h"

#include <limits>

#include "support/layer_case.h"

namespace gtrain {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
using Model = nn::SignNet::Model;

nn::SignNet::Shape shape(Model model, bool padded = false) {
  return {model, 4, 5, 3, 6, 7, 2, padded};
}

struct Batch {
  support::EdgeBatch packed = support::pack({support::path(4), support::cycle(5)});
  nn::EncoderGraph graph{packed.graph, packed.graph_start, packed.edges};
  at::Tensor vectors = at::randn({packed.nodes, 4}, at::kDouble);
};

at::Tensor run(nn::SignNet& layer, const at::Tensor& vectors, const Batch& b, bool training) {
  nn::Context c = support::context(training);
  return layer.encode({vectors}, b.graph, c);
}

TEST(SignNet, SignsOfEigenvectorsDoNotMatter) {
  for (const Model model : {Model::kMlp, Model::kDeepSet}) {
    const auto layer = support::ready(std::make_shared<nn::SignNet>(shape(model)));
    const Batch b;
    const at::Tensor signs = at::tensor({1.0, -1.0, -1.0, 1.0}, at::kDouble);
    const at::Tensor y = run(*layer, b.vectors, b, false);
    EXPECT_EQ(y.sizes(), (std::vector<std::int64_t>{9, 5}));
    EXPECT_LT(support::distance(run(*layer, b.vectors * signs, b, false), y), 1e-13);
  }
}

TEST(SignNet, OrderOfEigenvectorsMattersToTheMlpAlone) {
  const Batch b;
  const at::Tensor swapped = b.vectors.flip(1);
  const auto set = support::ready(std::make_shared<nn::SignNet>(shape(Model::kDeepSet)));
  EXPECT_LT(support::distance(run(*set, swapped, b, true), run(*set, b.vectors, b, true)), 1e-11);
  const auto mlp = support::ready(std::make_shared<nn::SignNet>(shape(Model::kMlp)));
  EXPECT_GT(support::distance(run(*mlp, swapped, b, false), run(*mlp, b.vectors, b, false)), 1e-4);
}

TEST(SignNet, MissingEigenvectorsLeaveADeepSetAlone) {
  const Batch b;
  const auto layer = support::ready(std::make_shared<nn::SignNet>(shape(Model::kDeepSet)));
  at::Tensor padded = b.vectors.clone();
  padded.slice(1, 3).fill_(kNan);
  const at::Tensor cut = padded.slice(1, 0, 3).contiguous();
  EXPECT_LT(support::distance(run(*layer, padded, b, true), run(*layer, cut, b, true)), 1e-12);
  const auto quirk = support::ready(std::make_shared<nn::SignNet>(shape(Model::kDeepSet, true)));
  EXPECT_GT(support::distance(run(*quirk, padded, b, true), run(*quirk, cut, b, true)), 1e-4);
}

TEST(SignNet, MissingEigenvectorsAreZerosToTheMlp) {
  const Batch b;
  const auto layer = support::ready(std::make_shared<nn::SignNet>(shape(Model::kMlp)));
  at::Tensor missing = b.vectors.clone(), zero = b.vectors.clone();
  missing.slice(1, 2).fill_(kNan);
  zero.slice(1, 2).fill_(0);
  EXPECT_EQ(support::distance(run(*layer, missing, b, true), run(*layer, zero, b, true)), 0);
}

TEST(SignNet, TakesABatchWithoutNodes) {
  const support::EdgeBatch none = support::pack({support::edgeless(0)});
  for (const Model model : {Model::kMlp, Model::kDeepSet}) {
    const auto layer = support::ready(std::make_shared<nn::SignNet>(shape(model)));
    nn::Context c = support::context(true);
    const at::Tensor y = layer->encode({at::zeros({0, 4}, at::kDouble)},
                                       {none.graph, none.graph_start, none.edges}, c);
    EXPECT_EQ(y.sizes(), (std::vector<std::int64_t>{0, 5}));
  }
}

TEST(NormMlp, NormalisesAfterTheActivation) {
  const auto layer = support::ready(std::make_shared<nn::NormMlp>(nn::NormMlp::Shape{3, 4, 2, 2}));
  const auto p = layer->named_parameters();
  const at::Tensor x = at::randn({8, 3}, at::kDouble);
  at::Tensor h = at::relu(at::matmul(x, p["linear_0.weight"].t()) + p["linear_0.bias"]);
  h = (h - h.mean(0)) / at::sqrt(h.var(0, false) + 1e-5);
  h = at::matmul(h, p["linear_1.weight"].t()) + p["linear_1.bias"];
  nn::Context c = support::context(true);
  EXPECT_LT(support::distance(layer->forward(x, c), h), 1e-12);
}

}  // namespace
}  // namespace gtrain

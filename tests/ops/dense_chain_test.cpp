#include "gtrain/ops/dense_chain.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gtrain/ops/linear.h"

namespace gtrain::ops {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

struct Case {
  at::Tensor x, term, scale;
  std::vector<DenseLayer> layers;
};

Case random_case(at::ScalarType type = at::kFloat, std::int64_t rows = 300) {
  const auto options = at::TensorOptions(type);
  const auto random = [&](std::vector<std::int64_t> shape) {
    return (0.3 * at::randn(shape, at::kDouble)).to(options);
  };
  return {random({rows, 20}),
          random({rows, 10}),
          random({10}),
          {{random({37, 20}), random({37}), RowActivation::kRelu},
           {random({24, 37}), {}, RowActivation::kGelu},
           {random({10, 24}), random({10}), RowActivation::kNone}}};
}

at::Tensor wanted(const Case& c) {
  at::Tensor y = c.x.to(at::kDouble);
  for (const DenseLayer& l : c.layers) {
    y = at::matmul(y, l.weight.to(at::kDouble).t());
    if (l.bias.defined()) y = y + l.bias.to(at::kDouble);
    if (l.activation == RowActivation::kRelu) y = at::relu(y);
    if (l.activation == RowActivation::kGelu) y = at::gelu(y);
  }
  return y + c.term.to(at::kDouble) * c.scale.to(at::kDouble) + c.term.to(at::kDouble);
}

TEST(DenseChain, IsItsLayersAndTermsOneAfterAnother) {
  for (const auto& [type, bound] : {std::pair(at::kFloat, 1e-5), std::pair(at::kDouble, 1e-12),
                                    std::pair(at::kBFloat16, 0.05)}) {
    const Case c = random_case(type);
    const at::Tensor got = dense_chain(c.x, c.layers, {{c.term, c.scale}, {c.term, {}}});
    EXPECT_EQ(got.scalar_type(), type);
    EXPECT_TRUE(got.to(at::kDouble).allclose(wanted(c), bound, bound)) << type;
  }
}

TEST(DenseChain, WithoutScalesHasTheBitsOfTheOpsOneByOne) {
  const Case c = random_case();
  const at::Tensor first = linear(c.x, c.layers[0].weight, c.layers[0].bias, true);
  const at::Tensor second = activate_rows(linear(first, c.layers[1].weight, at::Tensor()), {},
                                          {.activation = RowActivation::kGelu});
  const at::Tensor plain = linear(second, c.layers[2].weight, c.layers[2].bias);
  EXPECT_TRUE(dense_chain(c.x, c.layers).equal(plain));
  EXPECT_TRUE(
      dense_chain(c.x, c.layers, {{c.term, {}}}).equal(activate_rows(plain, {}, {}, c.term)));
}

TEST(DenseChain, TakesNoRows) {
  const Case c = random_case(at::kFloat, 0);
  EXPECT_EQ(dense_chain(c.x, c.layers, {{c.term, c.scale}}).sizes(), at::IntArrayRef({0, 10}));
}

TEST(DenseChain, NamesWhatDoesNotFit) {
  const Case c = random_case();
  EXPECT_THAT([&] { dense_chain(c.x, {}); }, ThrowsMessage<std::exception>(HasSubstr("a layer")));
  EXPECT_THAT([&] { dense_chain(c.x, {c.layers[1]}); },
              ThrowsMessage<std::exception>(HasSubstr("expected [O, 20]")));
  EXPECT_THAT(
      [&] {
        dense_chain(c.x, c.layers, {{c.x, {}}});
      },
      ThrowsMessage<std::exception>(HasSubstr("a term has shape [300, 20]")));
  EXPECT_THAT(
      [&] {
        dense_chain(c.x, c.layers, {{c.term, c.term}});
      },
      ThrowsMessage<std::exception>(HasSubstr("a scale has shape [300, 10]")));
}

}  // namespace
}  // namespace gtrain::ops

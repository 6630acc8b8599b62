#include "gtrain/nn/unit_mlp.h"

#include "support/layer_case.h"

namespace gtrain {
namespace {

TEST(UnitMlp, RectifiesNormalisedRowsAndScalesThemToUnitNorm) {
  const auto layer = support::ready(std::make_shared<nn::UnitMlp>(4, 3, 2));
  const auto p = layer->named_parameters();
  EXPECT_FALSE(p.contains("linear_0.bias"));
  const at::Tensor x = at::randn({9, 4}, at::kDouble);
  at::Tensor h = x;
  for (const char* name : {"linear_0.weight", "linear_1.weight"}) {
    h = at::matmul(h, p[name].t());
    h = at::relu((h - h.mean(0)) / at::sqrt(h.var(0, false) + 1e-5));
    h = h / h.norm(2, -1, true).clamp_min(1e-12);
  }
  nn::Context c = support::context(true);
  EXPECT_LT(support::distance(layer->forward(x, c), h), 1e-12);
}

TEST(UnitRows, LeaveARowOfZerosFinite) {
  EXPECT_EQ(support::distance(nn::unit_rows(at::zeros({2, 3}, at::kDouble)),
                              at::zeros({2, 3}, at::kDouble)),
            0);
}

}  // namespace
}  // namespace gtrain

#include "gtrain/encode/heat_kernel.h"

#include <gtest/gtest.h>

#include <cmath>

#include "encode/odd_dataset.h"
#include "gtrain/encode/encoding.h"

namespace gtrain::encode {
namespace {

std::vector<double> kernel(const support::OddGraph& g, const std::vector<double>& times) {
  return heat_kernel(csr_of(g), HeatKernelOptions{times});
}

TEST(HeatKernel, OfACompleteGraphDecaysWithItsOnlyEigenvalue) {
  // Eigenvalue 5 four times: the diagonal of I - J/5 is 4/5 everywhere.
  const std::vector<double> got = kernel(support::complete(5), {0.0, 0.3});
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_NEAR(got[2 * i], 0.8, 1e-13);
    EXPECT_NEAR(got[2 * i + 1], 0.8 * std::exp(-1.5), 1e-13);
  }
}

TEST(HeatKernel, LeavesOutTheConstantOfEachComponent) {
  for (const double v : kernel(support::edgeless(3), {1.0, 2.0})) EXPECT_EQ(v, 0.0);
  const std::vector<double> got = kernel(support::isolated_node(), {1.0});  // a path of 3 and one
  double sum = 0.0;
  for (const double v : got) sum += v;
  EXPECT_NEAR(sum, std::exp(-1.0) + std::exp(-3.0), 1e-13);
}

TEST(HeatKernel, OfAnEmptyGraphIsEmpty) {
  EXPECT_TRUE(kernel(support::edgeless(0), {1.0}).empty());
}

}  // namespace
}  // namespace gtrain::encode

#include "gtrain/encode/vector_norm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

namespace gtrain::encode {
namespace {

Eigen::VectorXd scaled(const std::string& kind, double value) {
  Eigen::MatrixXd vectors(3, 1);
  vectors << 0.6, -0.8, 0.0;
  Eigen::VectorXd values(1);
  values << value;
  scale_vectors(kind, values, vectors);
  return vectors.col(0);
}

TEST(ScaleVectors, DividesByTheNormItNames) {
  EXPECT_NEAR(scaled("l2", 4.0)[1], -0.8, 1e-15);
  EXPECT_NEAR(scaled("l1", 4.0)[1], -0.8 / 1.4, 1e-15);
  EXPECT_NEAR(scaled("abs_max", 4.0)[0], 0.75, 1e-15);
  EXPECT_NEAR(scaled("wavelength", 4.0)[0], 0.75 * std::numbers::pi / 4.0, 1e-15);
  EXPECT_NEAR(scaled("wavelength_asin", 4.0)[0], std::asin(0.75) / 2.0, 1e-15);
  const double e6 = std::exp(0.6), e8 = std::exp(0.8);
  const double soft = (0.6 * e6 + 0.8 * e8) / (e6 + e8 + 1.0);
  EXPECT_NEAR(scaled("wavelength_soft", 4.0)[0], 0.6 / (2.0 * soft), 1e-15);
}

TEST(ScaleVectors, CountsEigenvalueZeroAsOne) {
  EXPECT_NEAR(scaled("wavelength_asin", 0.0)[0], std::asin(0.75), 1e-15);
}

TEST(ScaleVectors, LeavesZerosAndEmptyGraphsFinite) {
  Eigen::MatrixXd zeros = Eigen::MatrixXd::Zero(2, 1), none(0, 3);
  for (const char* kind :
       {"l2", "l1", "abs_max", "wavelength", "wavelength_asin", "wavelength_soft"}) {
    scale_vectors(kind, Eigen::VectorXd::Ones(1), zeros);
    EXPECT_EQ(zeros, Eigen::MatrixXd::Zero(2, 1)) << kind;
    scale_vectors(kind, Eigen::VectorXd::Ones(3), none);
  }
}

}  // namespace
}  // namespace gtrain::encode

#include "gtrain/encode/tridiagonal.h"

#include <gtest/gtest.h>

#include <Eigen/Eigenvalues>
#include <cmath>
#include <string>

#include "gtrain/base/random.h"

namespace gtrain::encode {
namespace {

using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;

struct Tridiagonal {
  std::string name;
  VectorXd d, e;
  MatrixXd dense() const {
    MatrixXd t = d.asDiagonal();
    t.diagonal(1) = e;
    t.diagonal(-1) = e;
    return t;
  }
};

// Shapes that make eigenvalues coincide, exactly or up to rounding.
std::vector<Tridiagonal> hard_cases() {
  std::vector<Tridiagonal> all;
  all.push_back({"zero", VectorXd::Zero(5), VectorXd::Zero(4)});
  all.push_back({"one", VectorXd::Constant(1, 3.0), VectorXd(0)});
  all.push_back({"identity", VectorXd::Ones(6), VectorXd::Zero(5)});
  all.push_back({"constant", VectorXd::Constant(30, 2.0), VectorXd::Constant(29, -1.0)});
  VectorXd wilkinson(21);
  for (Index i = 0; i < 21; ++i) wilkinson[i] = static_cast<double>(std::abs(i - 10));
  all.push_back({"wilkinson", wilkinson, VectorXd::Ones(20)});
  VectorXd halves = VectorXd::Ones(19);
  halves[9] = 0.0;
  all.push_back({"two equal halves", VectorXd::Constant(20, 2.0), halves});
  halves[9] = 1e-13;
  all.push_back({"two nearly equal halves", VectorXd::Constant(20, 2.0), halves});
  base::Random random(base::key(1, base::Purpose::kGenerate));
  for (int k = 0; k < 30; ++k) {
    const Index n = 2 + 3 * k;
    VectorXd d(n), e(n - 1);
    for (double& v : d) v = random.uniform();
    for (double& v : e) v = random.uniform() - 0.5;
    all.push_back({"random " + std::to_string(n), d, e});
  }
  return all;
}

TEST(Tridiagonal, ValuesAgreeWithTheDenseSolver) {
  for (const Tridiagonal& t : hard_cases()) {
    SCOPED_TRACE(t.name);
    VectorXd values;
    ASSERT_TRUE(tridiagonal_values(t.d, t.e, values));
    const Eigen::SelfAdjointEigenSolver<MatrixXd> solver(t.dense());
    EXPECT_LT((values - solver.eigenvalues()).cwiseAbs().maxCoeff(), 1e-13);
  }
}

TEST(Tridiagonal, VectorsAreOrthonormalAndBelongToTheirValues) {
  TridiagonalVectors workspace;
  for (const Tridiagonal& t : hard_cases()) {
    for (const Index count : {Index{1}, (t.d.size() + 1) / 2, t.d.size()}) {
      SCOPED_TRACE(t.name + " count " + std::to_string(count));
      VectorXd values;
      MatrixXd v;
      ASSERT_TRUE(tridiagonal_values(t.d, t.e, values));
      ASSERT_TRUE(workspace.solve(t.d, t.e, values, count, v));
      const MatrixXd residual = t.dense() * v - v * values.head(count).asDiagonal();
      EXPECT_LT(residual.cwiseAbs().maxCoeff(), 2e-13);
      EXPECT_LT((v.transpose() * v - MatrixXd::Identity(count, count)).cwiseAbs().maxCoeff(),
                1e-12);
    }
  }
}

TEST(Tridiagonal, AnEmptyMatrixHasNoValues) {
  VectorXd values(3);
  EXPECT_TRUE(tridiagonal_values(VectorXd(0), VectorXd(0), values));
  EXPECT_EQ(values.size(), 0);
}

TEST(Tridiagonal, NotANumberIsReported) {
  VectorXd d = VectorXd::Ones(4);
  d[2] = std::nan("");
  VectorXd values;
  EXPECT_FALSE(tridiagonal_values(d, VectorXd::Ones(3), values));
  MatrixXd vectors;
  EXPECT_FALSE(TridiagonalVectors().solve(d, VectorXd::Ones(3), VectorXd::Ones(4), 2, vectors));
}

}  // namespace
}  // namespace gtrain::encode

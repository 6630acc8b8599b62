#include "gtrain/encode/canonical.h"

#include <gtest/gtest.h>

#include <Eigen/Eigenvalues>
#include <cmath>

#include "encode/odd_dataset.h"
#include "gtrain/base/random.h"
#include "gtrain/encode/laplacian.h"

namespace gtrain::encode {
namespace {

using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;
using support::OddGraph;

struct Solved {
  VectorXd values;
  MatrixXd vectors;
};

// Solves with rows in another order and 1e-15 noise, then puts the rows back.
Solved solve_shaken(const MatrixXd& matrix, std::uint64_t seed) {
  base::Random random(base::key(seed, base::Purpose::kGenerate));
  const auto n = static_cast<std::size_t>(matrix.rows());
  const std::vector<std::int64_t> order = random.permutation(matrix.rows());
  MatrixXd shaken(n, n);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j <= i; ++j) {
      const double noise = seed == 0 ? 0.0 : 1e-15 * (random.uniform() - 0.5);
      shaken(Index(i), Index(j)) = matrix(order[i], order[j]) + noise;
      shaken(Index(j), Index(i)) = shaken(Index(i), Index(j));
    }
  }
  const Eigen::SelfAdjointEigenSolver<MatrixXd> solver(shaken);
  Solved out{solver.eigenvalues(), MatrixXd(n, n)};
  for (std::size_t i = 0; i < n; ++i)
    out.vectors.row(order[i]) = solver.eigenvectors().row(Index(i));
  canonicalise(out.values, out.vectors);
  return out;
}

std::vector<OddGraph> symmetric_shapes() {
  return {support::cycle(8),         support::star(7),
          support::complete(5),      support::grid(4, 4),
          support::two_components(), support::edgeless(3),
          support::isolated_node(),  support::random_graph(4, 18, 0.3),
          support::path(9)};
}

TEST(Canonical, ShakenSolvesGiveTheSameVectors) {
  for (const OddGraph& g : symmetric_shapes()) {
    SCOPED_TRACE(g.name);
    const MatrixXd matrix(sparse_laplacian(LocalGraph(csr_of(g)), false));
    const Solved plain = solve_shaken(matrix, 0);
    for (std::uint64_t seed = 1; seed < 20; ++seed) {
      const Solved shaken = solve_shaken(matrix, seed);
      EXPECT_LT((plain.vectors - shaken.vectors).cwiseAbs().maxCoeff(), 1e-9);
    }
  }
}

TEST(Canonical, StaysAnOrthonormalEigenbasis) {
  for (const OddGraph& g : symmetric_shapes()) {
    SCOPED_TRACE(g.name);
    const MatrixXd matrix(sparse_laplacian(LocalGraph(csr_of(g)), true));
    const Solved solved = solve_shaken(matrix, 1);
    const MatrixXd gram = solved.vectors.transpose() * solved.vectors;
    EXPECT_LT((gram - MatrixXd::Identity(g.nodes, g.nodes)).cwiseAbs().maxCoeff(), 1e-12);
    const MatrixXd residual = matrix * solved.vectors - solved.vectors * solved.values.asDiagonal();
    EXPECT_LT(residual.cwiseAbs().maxCoeff(), 1e-12);
  }
}

TEST(Canonical, ASingleVectorIsPositiveAtItsFirstLargestEntry) {
  VectorXd values(1);
  values << 0.3;
  MatrixXd vector(4, 1);
  vector << 0.1, -0.7, 0.7, -0.1;
  canonicalise(values, vector);
  EXPECT_EQ(vector(1, 0), 0.7);
  EXPECT_EQ(vector(2, 0), -0.7);
}

TEST(Canonical, AnEntryWithinTheTieOfTheLargestComesFirst) {
  VectorXd values(1);
  values << 0.3;
  MatrixXd vector(2, 1);
  vector << -0.7, 0.7 * (1.0 + 1e-8);
  canonicalise(values, vector);
  EXPECT_EQ(vector(0, 0), 0.7);
}

TEST(Canonical, AWholeSpaceBecomesTheUnitVectors) {
  const VectorXd values = VectorXd::Zero(3);
  MatrixXd vectors(3, 3);
  vectors << 2.0 / 3, -2.0 / 3, 1.0 / 3, 1.0 / 3, 2.0 / 3, 2.0 / 3, 2.0 / 3, 1.0 / 3, -2.0 / 3;
  canonicalise(values, vectors);
  EXPECT_LT((vectors - MatrixXd::Identity(3, 3)).cwiseAbs().maxCoeff(), 1e-15);
}

TEST(ClusterEnd, ClosesTheClusterThatTheCountCuts) {
  VectorXd values(6);
  values << 0.0, 1.0, 1.0 + 1e-9, 1.0 + 9e-9, 1.0 + 3e-8, 2.0;
  EXPECT_EQ(cluster_end(values, 0), 0);
  EXPECT_EQ(cluster_end(values, 1), 1);
  EXPECT_EQ(cluster_end(values, 2), 4);
  EXPECT_EQ(cluster_end(values, 5), 5);
  EXPECT_EQ(cluster_end(values, 99), 6);
}

}  // namespace
}  // namespace gtrain::encode

#include "gtrain/encode/laplacian.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "encode/odd_dataset.h"

namespace gtrain::encode {
namespace {

using std::numbers::pi;
using support::OddGraph;
using Values = std::vector<double>;

Eigenpairs pairs_of(const OddGraph& g, std::int64_t count, const std::string& normalization) {
  LaplacianOptions options;
  options.count = count;
  options.normalization = normalization;
  return laplacian(csr_of(g), options);
}

void expect_spectrum(const OddGraph& g, const std::string& normalization, Values expected) {
  SCOPED_TRACE(g.name + " " + normalization);
  std::sort(expected.begin(), expected.end());
  const Eigenpairs pairs = pairs_of(g, g.nodes, normalization);
  ASSERT_EQ(pairs.values.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(pairs.values[i], expected[i], 1e-12);
  }
}

TEST(Laplacian, PathsCyclesStarsAndCompleteGraphsHaveTheirKnownSpectra) {
  Values path, cycle, cycle_sym;
  for (int k = 0; k < 9; ++k) {
    path.push_back(2.0 - 2.0 * std::cos(pi * k / 9));
    cycle.push_back(2.0 - 2.0 * std::cos(2.0 * pi * k / 9));
    cycle_sym.push_back(1.0 - std::cos(2.0 * pi * k / 9));
  }
  expect_spectrum(support::path(9), "none", path);
  expect_spectrum(support::cycle(9), "none", cycle);
  expect_spectrum(support::cycle(9), "sym", cycle_sym);
  expect_spectrum(support::star(6), "none", {0, 1, 1, 1, 1, 6});
  expect_spectrum(support::star(6), "sym", {0, 1, 1, 1, 1, 2});
  expect_spectrum(support::complete(5), "none", {0, 5, 5, 5, 5});
  expect_spectrum(support::complete(5), "sym", {0, 1.25, 1.25, 1.25, 1.25});
}

TEST(Laplacian, AnIsolatedNodeHasEigenvalueZeroPlainAndOneNormalised) {
  expect_spectrum(support::edgeless(1), "none", {0});
  expect_spectrum(support::edgeless(1), "sym", {1});
  expect_spectrum(support::isolated_node(), "none", {0, 0, 1, 3});
  expect_spectrum(support::isolated_node(), "sym", {0, 1, 1, 2});
}

TEST(Laplacian, AnEmptyGraphHasNoPairs) {
  const Eigenpairs pairs = pairs_of(support::edgeless(0), 4, "none");
  EXPECT_TRUE(pairs.values.empty());
  EXPECT_TRUE(pairs.vectors.empty());
}

TEST(Laplacian, SelfLoopsDoNotCount) {
  expect_spectrum(support::self_loop(), "none", {0, 3, 3});
  expect_spectrum(support::self_loop(), "sym", {0, 1.5, 1.5});
}

TEST(Laplacian, DirectedGraphsAreSymmetrisedWithWeightOne) {
  expect_spectrum(support::directed_path(3), "none", {0, 1, 3});
  OddGraph uneven = support::directed_path(3);
  uneven.arc(0, 1);
  uneven.arc(1, 0);
  expect_spectrum(uneven, "none", {0, 1, 3});
}

TEST(Laplacian, RepeatedUndirectedEdgesAddTheirWeights) {
  OddGraph twice = support::path(2);
  twice.edge(0, 1);
  expect_spectrum(twice, "none", {0, 4});
  expect_spectrum(twice, "sym", {0, 2});
}

TEST(Laplacian, VectorsAreOrthonormalAndSolveTheEquation) {
  for (const OddGraph& g : support::odd_graphs()) {
    for (const std::string normalization : {"none", "sym"}) {
      SCOPED_TRACE(g.name + " " + normalization);
      const Eigenpairs pairs = pairs_of(g, 5, normalization);
      const auto m = static_cast<Eigen::Index>(std::min<std::int64_t>(5, g.nodes));
      ASSERT_EQ(static_cast<Eigen::Index>(pairs.values.size()), m);
      if (m == 0) continue;
      const Eigen::MatrixXd v = Eigen::Map<const Eigen::Matrix<double, -1, -1, Eigen::RowMajor>>(
          pairs.vectors.data(), g.nodes, m);
      const Eigen::VectorXd values = Eigen::Map<const Eigen::VectorXd>(pairs.values.data(), m);
      const Eigen::MatrixXd matrix(sparse_laplacian(LocalGraph(csr_of(g)), normalization == "sym"));
      EXPECT_LT((matrix * v - v * values.asDiagonal()).cwiseAbs().maxCoeff(), 1e-12);
      EXPECT_LT((v.transpose() * v - Eigen::MatrixXd::Identity(m, m)).cwiseAbs().maxCoeff(), 1e-12);
      EXPECT_GE(values.minCoeff(), 0.0);
    }
  }
}

TEST(Laplacian, CuttingAClusterKeepsTheLeadingVectorsOfTheWhole) {
  const Eigenpairs whole = pairs_of(support::star(8), 8, "none");
  for (std::int64_t count = 1; count < 8; ++count) {
    const Eigenpairs cut = pairs_of(support::star(8), count, "none");
    for (std::int64_t i = 0; i < 8; ++i) {
      for (std::int64_t c = 0; c < count; ++c) {
        EXPECT_EQ(cut.vectors[static_cast<std::size_t>(i * count + c)],
                  whole.vectors[static_cast<std::size_t>(i * 8 + c)]);
      }
    }
  }
}

TEST(Laplacian, LargerGraphsGoThroughOtherSolversToTheSameAnswer) {
  const Values expected{0, 1, 1, 2, 2, 3};
  for (const std::int64_t n : {LaplacianSolver::kSmallNodes, LaplacianSolver::kSmallNodes + 1,
                               LaplacianSolver::kDenseNodes + 1}) {
    SCOPED_TRACE(n);
    const Eigenpairs pairs = pairs_of(support::cycle(n), 6, "none");
    for (std::size_t k = 0; k < 6; ++k) {
      EXPECT_NEAR(pairs.values[k],
                  2.0 - 2.0 * std::cos(2.0 * pi * expected[k] / static_cast<double>(n)), 1e-11);
    }
  }
  const std::int64_t n = LaplacianSolver::kSmallNodes + 1;
  expect_spectrum(support::complete(n), "none", [n] {
    Values values(static_cast<std::size_t>(n), static_cast<double>(n));
    values[0] = 0.0;
    return values;
  }());
}

TEST(Laplacian, SkipLeavesOutTheSmallestPairs) {
  LaplacianOptions all;
  all.count = 6;
  LaplacianOptions rest = all;
  rest.skip = 2;
  const graph::Csr g = csr_of(support::random_graph(3, 9, 0.4));
  const Eigenpairs whole = laplacian(g, all), some = laplacian(g, rest);
  ASSERT_EQ(some.values.size(), 6U);
  for (std::size_t k = 0; k < 4; ++k) {
    EXPECT_NEAR(some.values[k], whole.values[k + 2], 1e-13);
    EXPECT_NEAR(some.vectors[6 + k], whole.vectors[6 + k + 2], 1e-10);
  }
  rest.skip = 12;
  EXPECT_TRUE(laplacian(g, rest).values.empty());
}

TEST(Laplacian, RandomWalkVectorsAreEigenvectorsOfTheWalk) {
  const OddGraph g = support::star(5);
  const Eigenpairs pairs = pairs_of(g, 5, "rw");
  const graph::Csr csr = csr_of(g);
  for (std::size_t k = 0; k < 5; ++k) {
    double length = 0.0;
    for (std::size_t i = 0; i < 5; ++i) {
      double mean = 0.0;
      const auto row = csr.row(static_cast<graph::Id>(i));
      for (const graph::Id j : row) mean += pairs.vectors[static_cast<std::size_t>(j) * 5 + k];
      const double v = pairs.vectors[i * 5 + k];
      EXPECT_NEAR(v - mean / static_cast<double>(row.size()), pairs.values[k] * v, 1e-12);
      length += v * v;
    }
    EXPECT_NEAR(length, 1.0, 1e-12);
  }
}

TEST(Laplacian, RandomWalkTakesEmptyAndLargeGraphs) {
  EXPECT_TRUE(pairs_of(support::edgeless(0), 3, "rw").values.empty());
  // Above the limit of dense solves: the walk's trivial vector is constant.
  const Eigenpairs pairs = pairs_of(support::cycle(200), 2, "rw");
  for (const std::size_t i : {0U, 99U, 199U}) {
    EXPECT_NEAR(std::abs(pairs.vectors[i * 2]), 1.0 / std::sqrt(200.0), 1e-9);
  }
}

TEST(Laplacian, QuirkReadsTheLowerTriangleOfTheWalk) {
  LaplacianOptions options;
  options.count = 3;
  options.normalization = "rw";
  options.quirks = {"rw_lower_triangle"};
  // Path 0 - 1 - 2: below the diagonal stand -1/2 (of node 1) and -1 (of node 2).
  const Eigenpairs pairs = laplacian(csr_of(support::path(3)), options);
  const double root = std::sqrt(1.25);
  EXPECT_NEAR(pairs.values[0], 0.0, 1e-12);  // 1 - root, clamped
  EXPECT_NEAR(pairs.values[1], 1.0, 1e-12);
  EXPECT_NEAR(pairs.values[2], 1.0 + root, 1e-12);
}

TEST(Laplacian, ScalesVectorsAsAsked) {
  LaplacianOptions options;
  options.vector_norm = "abs_max";
  const Eigenpairs pairs = laplacian(csr_of(support::path(7)), options);
  for (std::size_t k = 0; k < 7; ++k) {
    double largest = 0.0;
    for (std::size_t i = 0; i < 7; ++i)
      largest = std::max(largest, std::abs(pairs.vectors[i * 7 + k]));
    EXPECT_NEAR(largest, 1.0, 1e-15);
  }
}

}  // namespace
}  // namespace gtrain::encode

#include "gtrain/encode/random_walk.h"

#include <gtest/gtest.h>

#include <Eigen/Core>

#include "encode/odd_dataset.h"
#include "gtrain/encode/encoding.h"

namespace gtrain::encode {
namespace {

using support::OddGraph;

// Dense powers of D^-1 A, A_ij = number of edges i -> j.
Eigen::MatrixXd reference(const OddGraph& g, std::int64_t steps) {
  Eigen::MatrixXd p = Eigen::MatrixXd::Zero(g.nodes, g.nodes);
  for (std::size_t e = 0; e < g.source.size(); ++e) p(g.source[e], g.target[e]) += 1.0;
  for (Eigen::Index i = 0; i < p.rows(); ++i) {
    if (p.row(i).sum() > 0.0) p.row(i) /= p.row(i).sum();
  }
  Eigen::MatrixXd power = p;
  Eigen::MatrixXd out(g.nodes, steps);
  for (std::int64_t t = 0; t < steps; ++t) {
    out.col(t) = power.diagonal();
    power = power * p;
  }
  return out;
}

TEST(RandomWalk, AgreesWithDensePowersOnOddAndRandomGraphs) {
  std::vector<OddGraph> graphs = support::odd_graphs();
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    graphs.push_back(support::random_arcs(seed, 7 + 3 * static_cast<std::int64_t>(seed), 90));
  }
  for (const OddGraph& g : graphs) {
    SCOPED_TRACE(g.name);
    const std::vector<double> returns = random_walk(csr_of(g), 12);
    const Eigen::MatrixXd expected = reference(g, 12);
    ASSERT_EQ(static_cast<Eigen::Index>(returns.size()), expected.size());
    for (Eigen::Index i = 0; i < expected.rows(); ++i) {
      for (Eigen::Index t = 0; t < 12; ++t) {
        EXPECT_NEAR(returns[static_cast<std::size_t>(i * 12 + t)], expected(i, t), 1e-14);
      }
    }
  }
}

TEST(RandomWalk, IsolatedNodesNeverReturn) {
  for (const double p : random_walk(csr_of(support::edgeless(3)), 4)) EXPECT_EQ(p, 0.0);
}

TEST(RandomWalk, ADirectedPathNeverReturns) {
  for (const double p : random_walk(csr_of(support::directed_path(4)), 4)) EXPECT_EQ(p, 0.0);
}

TEST(RandomWalk, ASelfLoopReturnsAtOnce) {
  const std::vector<double> returns = random_walk(csr_of(support::self_loop()), 1);
  EXPECT_DOUBLE_EQ(returns[0], 1.0 / 3.0);
  EXPECT_EQ(returns[1], 0.0);
}

TEST(RandomWalk, EvenCyclesReturnAtEvenStepsOnly) {
  const std::vector<double> returns = random_walk(csr_of(support::cycle(8)), 4);
  EXPECT_EQ(returns[0], 0.0);
  EXPECT_DOUBLE_EQ(returns[1], 0.5);
  EXPECT_EQ(returns[2], 0.0);
  EXPECT_DOUBLE_EQ(returns[3], 0.375);
}

}  // namespace
}  // namespace gtrain::encode

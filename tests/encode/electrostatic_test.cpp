#include "gtrain/encode/electrostatic.h"

#include <gtest/gtest.h>

#include <cmath>

#include "encode/odd_dataset.h"
#include "gtrain/encode/encoding.h"

namespace gtrain::encode {
namespace {

std::vector<double> encoding(const support::OddGraph& g) { return electrostatic(csr_of(g)); }

TEST(Electrostatic, OfAnEdgeIsHalfTheUnitPotential) {
  // L⁺ = [[1, -1], [-1, 1]] / 4, so E = [[0, -1/2], [-1/2, 0]].
  const double deviation = std::sqrt(2.0 * 0.25 * 0.25);
  const std::vector<double> row{-0.5, 0.0,   -0.25,     deviation, -0.5,
                                0.0,  -0.25, deviation, -0.5,      -0.5};
  const std::vector<double> got = encoding(support::path(2));
  for (std::size_t i = 0; i < 20; ++i) EXPECT_NEAR(got[i], row[i % 10], 1e-13) << i;
}

TEST(Electrostatic, ColumnsAreOfTheNodeAndRowsAtIt) {
  // A star's hub: L⁺ of K_{1,3} is 3/16 at the hub, 11/16 at a leaf, -1/16 between them and -5/16
  // between leaves.
  const std::vector<double> hub = encoding(support::star(4));
  EXPECT_NEAR(hub[0], -0.25, 1e-12);  // leaf against hub
  EXPECT_NEAR(hub[4], -0.75, 1e-12);  // hub against leaf
  EXPECT_NEAR(hub[2], 3.0 * -0.25 / 4, 1e-12);
  EXPECT_NEAR(hub[6], 3.0 * -0.75 / 4, 1e-12);
  EXPECT_NEAR(hub[8], 3.0 * -0.25, 1e-12);  // leaves have degree 1
  EXPECT_NEAR(hub[9], -0.75, 1e-12);        // a third of three
}

TEST(Electrostatic, NodesWithoutEdgesStayFinite) {
  for (const double v : encoding(support::edgeless(1))) EXPECT_EQ(v, 0.0);
  for (const double v : encoding(support::isolated_node())) EXPECT_TRUE(std::isfinite(v));
}

TEST(Electrostatic, NoPotentialIsAboveThatAtTheCharge) {
  const std::vector<double> got = encoding(support::random_graph(5, 12, 0.3));
  for (std::size_t v = 0; v < 12; ++v) {
    EXPECT_NEAR(got[10 * v + 1], 0.0, 1e-12);
    EXPECT_NEAR(got[10 * v + 5], 0.0, 1e-12);
  }
}

}  // namespace
}  // namespace gtrain::encode

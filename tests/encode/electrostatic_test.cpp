#include "gtrain/encode/electrostatic.h"

#include <gtest/gtest.h>

#include <cmath>

#include "encode/odd_dataset.h"

namespace gtrain::encode {
namespace {

std::vector<double> encoding(const support::OddGraph& g, const ElectrostaticOptions& o = {}) {
  return electrostatic(csr_of(g), o);
}

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

TEST(Electrostatic, QuirkRepeatsTheMaximumOfColumns) {
  // An edge and a node alone: the node's row lies at or below 0, its column at 0.
  const support::OddGraph g = support::isolated_node();
  const std::vector<double> plain = encoding(g);
  const std::vector<double> repeated = encoding(g, {{"repeated_max"}});
  bool differs = false;
  for (std::size_t i = 0; i < plain.size(); ++i) {
    if (i % 10 == 5) {
      EXPECT_EQ(repeated[i], repeated[i - 4]);
      differs = differs || repeated[i] != plain[i];
    } else {
      EXPECT_EQ(repeated[i], plain[i]);
    }
  }
  EXPECT_TRUE(differs);
}

}  // namespace
}  // namespace gtrain::encode

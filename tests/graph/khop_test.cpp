#include "gtrain/graph/khop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gtrain/base/error.h"
#include "gtrain/graph/hop_distance.h"
#include "support/odd_graph.h"

namespace gtrain::graph {
namespace {

using support::OddGraph;
using testing::ElementsAre;
using testing::ElementsAreArray;

Csr build(const OddGraph& g) { return graph::build(g.nodes, g.source, g.target); }

TEST(Khop, RowsAreTheNodesWithinReach) {
  std::vector<OddGraph> graphs = support::odd_graphs();
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    graphs.push_back(support::random_arcs(seed, 30, 45));
  }
  for (const OddGraph& g : graphs) {
    const Csr csr = build(g);
    for (Id hops = 0; hops < 4; ++hops) {
      SCOPED_TRACE(g.name + " hops " + std::to_string(hops));
      const Csr near = khop(csr, hops);
      validate(near);
      for (Id i = 0; i < g.nodes; ++i) {
        const std::vector<Id> distance = hops_to(csr, i);
        std::vector<Id> expected;
        for (Id j = 0; j < g.nodes; ++j) {
          const Id d = distance[static_cast<std::size_t>(j)];
          if (d >= 1 && d <= hops) expected.push_back(j);
        }
        EXPECT_THAT(near.row(i), ElementsAreArray(expected));
      }
    }
  }
}

TEST(Khop, SelfStandsInEveryRowWhenAsked) {
  const Csr near = khop(build(support::isolated_node()), 1, true);
  EXPECT_THAT(near.row(0), ElementsAre(0, 1));
  EXPECT_THAT(near.row(1), ElementsAre(0, 1, 3));
  EXPECT_THAT(near.row(2), ElementsAre(2));
}

TEST(Khop, ASelfLoopDoesNotBringANodeIntoItsOwnRow) {
  EXPECT_THAT(khop(build(support::self_loop()), 2).row(0), ElementsAre(1, 2));
}

TEST(Khop, RefusesNegativeHops) {
  EXPECT_THROW(khop(build(support::path(3)), -1), base::DataError);
}

}  // namespace
}  // namespace gtrain::graph

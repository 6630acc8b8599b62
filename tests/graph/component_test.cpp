#include "gtrain/graph/component.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/odd_graph.h"

namespace gtrain::graph {
namespace {

using support::OddGraph;
using testing::ElementsAre;

Components of(const OddGraph& g) { return components(graph::build(g.nodes, g.source, g.target)); }

TEST(Components, InterleavedNodesAreNumberedBySmallestMember) {
  const Components c = of(support::two_components());
  EXPECT_EQ(c.count, 2);
  EXPECT_THAT(c.label, ElementsAre(0, 1, 0, 1, 0, 1, 0, 1, 0));
}

TEST(Components, DirectionDoesNotMatter) { EXPECT_EQ(of(support::directed_path(6)).count, 1); }

TEST(Components, NodesWithoutEdgesStandAlone) {
  EXPECT_EQ(of(support::edgeless(0)).count, 0);
  EXPECT_THAT(of(support::edgeless(3)).label, ElementsAre(0, 1, 2));
  EXPECT_THAT(of(support::isolated_node()).label, ElementsAre(0, 0, 1, 0));
}

TEST(Components, EveryEdgeStaysInsideAndNumbersRiseWithFirstMembers) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const OddGraph g = support::random_arcs(seed, 60, 35);
    const Components c = of(g);
    for (std::size_t e = 0; e < g.source.size(); ++e) {
      EXPECT_EQ(c.label[static_cast<std::size_t>(g.source[e])],
                c.label[static_cast<std::size_t>(g.target[e])]);
    }
    Id next = 0;
    for (const Id label : c.label) {
      EXPECT_LE(label, next);
      next = std::max(next, label + 1);
    }
    EXPECT_EQ(next, c.count);
  }
}

}  // namespace
}  // namespace gtrain::graph

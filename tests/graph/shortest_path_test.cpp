#include "gtrain/graph/shortest_path.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "gtrain/base/error.h"
#include "gtrain/graph/hop_distance.h"
#include "support/odd_graph.h"

namespace gtrain::graph {
namespace {

using support::OddGraph;

constexpr PathTie kTies[] = {PathTie::kSmallest, PathTie::kSearch, PathTie::kRelaxation};

Csr build(const OddGraph& g) { return graph::build(g.nodes, g.source, g.target); }

std::vector<std::int32_t> inner_of(const Csr& g, PathTie tie) {
  std::vector<std::int32_t> inner(static_cast<std::size_t>(g.nodes() * g.nodes()));
  inner_nodes(g, tie, inner);
  return inner;
}

bool adjacent(const Csr& g, Id i, Id j) {
  const auto row = g.row(j);
  return std::find(row.begin(), row.end(), i) != row.end();
}

TEST(ShortestPath, IsAWalkAlongEdgesOfTheLengthThatHopDistanceGives) {
  std::vector<OddGraph> graphs = support::odd_graphs();
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    graphs.push_back(support::random_arcs(seed, 20, 30 + 3 * static_cast<Id>(seed)));
  }
  for (const OddGraph& odd : graphs) {
    SCOPED_TRACE(odd.name);
    const Csr g = build(odd);
    for (const PathTie tie : kTies) {
      const auto inner = inner_of(g, tie);
      for (Id i = 0; i < g.nodes(); ++i) {
        const std::vector<Id> hops = hops_from(g, i);
        for (Id j = 0; j < g.nodes(); ++j) {
          const Id length = hops[static_cast<std::size_t>(j)];
          if (length < 1) {
            EXPECT_EQ(inner[static_cast<std::size_t>(i * g.nodes() + j)], kNoInnerNode);
            continue;
          }
          const std::vector<Id> path = path_nodes(inner, g.nodes(), i, j);
          ASSERT_EQ(static_cast<Id>(path.size()), length + 1);
          EXPECT_EQ(path.front(), i);
          EXPECT_EQ(path.back(), j);
          for (std::size_t k = 0; k + 1 < path.size(); ++k) {
            EXPECT_TRUE(adjacent(g, path[k], path[k + 1])) << path[k] << " " << path[k + 1];
          }
        }
      }
    }
  }
}

// 0 and 5 with two ways between them, 0-1-4-5 and 0-3-2-5; edges of the second come first.
Csr two_ways() {
  OddGraph g{"two_ways", 6, {}, {}};
  g.edge(0, 3);
  g.edge(3, 2);
  g.edge(2, 5);
  g.edge(0, 1);
  g.edge(1, 4);
  g.edge(4, 5);
  return build(g);
}

TEST(ShortestPath, BreaksTiesByItsRule) {
  const Csr g = two_ways();
  const auto path = [&](PathTie tie) { return path_nodes(inner_of(g, tie), 6, 0, 5); };
  EXPECT_EQ(path(PathTie::kSmallest), (std::vector<Id>{0, 3, 2, 5}));  // 2 < 4
  EXPECT_EQ(path(PathTie::kSearch), (std::vector<Id>{0, 3, 2, 5}));
  EXPECT_EQ(path(PathTie::kRelaxation), (std::vector<Id>{0, 3, 2, 5}));  // max(3, 2) < max(1, 4)
  const auto back = [&](PathTie tie) { return path_nodes(inner_of(g, tie), 6, 5, 0); };
  EXPECT_EQ(back(PathTie::kSmallest), (std::vector<Id>{5, 4, 1, 0}));  // 1 < 3
  EXPECT_EQ(back(PathTie::kSearch), (std::vector<Id>{5, 2, 3, 0}));
}

TEST(ShortestPath, RefusesAMatrixOfAnotherSizeAndOneThatLeadsInACircle) {
  const Csr g = build(support::path(3));
  std::vector<std::int32_t> few(8);
  EXPECT_THROW(inner_nodes(g, PathTie::kSmallest, few), base::DataError);
  const std::vector<std::int32_t> circle(9, 1);
  EXPECT_THROW(path_nodes(circle, 3, 0, 2), base::DataError);
}

}  // namespace
}  // namespace gtrain::graph

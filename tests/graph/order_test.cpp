#include "gtrain/graph/order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gtrain/base/error.h"
#include "gtrain/base/random.h"
#include "support/odd_graph.h"

namespace gtrain::graph {
namespace {

using support::OddGraph;

Csr build(const OddGraph& g) { return graph::build(g.nodes, g.source, g.target); }

std::vector<Id> shuffled(Id n, std::uint64_t seed) {
  return base::Random(base::key(seed, base::Purpose::kShuffle)).permutation(n);
}

TEST(ReverseCuthillMckee, IsAPermutationOfEveryOddGraph) {
  for (const OddGraph& g : support::odd_graphs()) {
    SCOPED_TRACE(g.name);
    std::vector<Id> order = reverse_cuthill_mckee(build(g));
    std::sort(order.begin(), order.end());
    ASSERT_EQ(static_cast<Id>(order.size()), g.nodes);
    for (std::size_t i = 0; i < order.size(); ++i) EXPECT_EQ(order[i], static_cast<Id>(i));
  }
}

TEST(ReverseCuthillMckee, UntanglesAShuffledPathToBandwidthOne) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const Csr tangled = permute(build(support::path(40)), shuffled(40, seed));
    EXPECT_GT(bandwidth(tangled), 1);
    EXPECT_EQ(bandwidth(tangled, reverse_cuthill_mckee(tangled)), 1);
  }
}

TEST(ReverseCuthillMckee, ShuffledGridGetsCloseToItsShortSide) {
  const Csr tangled = permute(build(support::grid(20, 5)), shuffled(100, 7));
  EXPECT_LE(bandwidth(tangled, reverse_cuthill_mckee(tangled)), 9);
}

TEST(ReverseCuthillMckee, EachComponentStaysTogether) {
  const Csr csr = build(support::two_components());
  const std::vector<Id> order = reverse_cuthill_mckee(csr);
  for (std::size_t p = 0; p < 9; ++p) EXPECT_EQ(order[p] % 2, p < 4 ? 1 : 0);
}

TEST(Bandwidth, ReadsPositionsFromTheOrder) {
  const Csr csr = build(support::path(4));
  EXPECT_EQ(bandwidth(csr), 1);
  EXPECT_EQ(bandwidth(csr, std::vector<Id>{0, 2, 1, 3}), 2);
  EXPECT_EQ(bandwidth(build(support::edgeless(3))), 0);
  EXPECT_THROW(bandwidth(csr, std::vector<Id>{0, 1, 1, 3}), base::DataError);
  EXPECT_THROW(bandwidth(csr, std::vector<Id>{0, 1, 2}), base::DataError);
}

TEST(Permute, RenamesNodesAndCarriesEdgeIds) {
  const std::vector<Id> source{0, 1};
  const std::vector<Id> target{1, 2};
  const Csr moved = permute(graph::build(3, source, target), std::vector<Id>{2, 0, 1});
  EXPECT_THAT(moved.row(2), testing::ElementsAre(1));
  EXPECT_THAT(moved.row(0), testing::ElementsAre(2));
  EXPECT_THAT(moved.edge, testing::ElementsAre(1, 0));
}

}  // namespace
}  // namespace gtrain::graph

#include "gtrain/graph/hop_distance.h"

#include <gtest/gtest.h>

#include "gtrain/base/error.h"
#include "support/odd_graph.h"

namespace gtrain::graph {
namespace {

using support::OddGraph;

Csr build(const OddGraph& g) { return graph::build(g.nodes, g.source, g.target); }

// Floyd-Warshall over direct arcs, the slow way.
std::vector<Id> reference(const OddGraph& g) {
  const auto n = static_cast<std::size_t>(g.nodes);
  constexpr Id kFar = 1 << 20;
  std::vector<Id> d(n * n, kFar);
  for (std::size_t i = 0; i < n; ++i) d[i * n + i] = 0;
  for (std::size_t e = 0; e < g.source.size(); ++e) {
    Id& step = d[static_cast<std::size_t>(g.source[e]) * n + static_cast<std::size_t>(g.target[e])];
    step = std::min<Id>(step, 1);
  }
  for (std::size_t k = 0; k < n; ++k) {
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < n; ++j) {
        d[i * n + j] = std::min(d[i * n + j], d[i * n + k] + d[k * n + j]);
      }
    }
  }
  for (Id& v : d) v = v >= kFar ? kUnreachable : v;
  return d;
}

TEST(HopDistance, AgreesWithFloydWarshallOnOddAndRandomGraphs) {
  std::vector<OddGraph> graphs = support::odd_graphs();
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    graphs.push_back(support::random_arcs(seed, 25, 30 + static_cast<Id>(seed)));
  }
  for (const OddGraph& g : graphs) {
    SCOPED_TRACE(g.name);
    const Csr csr = build(g);
    const auto n = static_cast<std::size_t>(g.nodes);
    const std::vector<Id> expected = reference(g);
    std::vector<std::uint8_t> bytes(n * n);
    hop_matrix(csr, 254, bytes);
    for (std::size_t i = 0; i < n; ++i) {
      const std::vector<Id> from = hops_from(csr, static_cast<Id>(i));
      const std::vector<Id> to = hops_to(csr, static_cast<Id>(i));
      for (std::size_t j = 0; j < n; ++j) {
        EXPECT_EQ(from[j], expected[i * n + j]);
        EXPECT_EQ(to[j], expected[j * n + i]);
        const Id byte = expected[i * n + j] < 0 ? kUnreachableByte : expected[i * n + j];
        EXPECT_EQ(bytes[i * n + j], byte);
      }
    }
  }
}

TEST(HopDistance, LongPathsStopAtTheCap) {
  const Csr csr = build(support::path(300));
  std::vector<std::uint8_t> bytes(300 * 300);
  hop_matrix(csr, 254, bytes);
  EXPECT_EQ(bytes[299], 254);
  EXPECT_EQ(bytes[253], 253);
  hop_matrix(csr, 5, bytes);
  EXPECT_EQ(bytes[299], 5);
  EXPECT_EQ(bytes[4], 4);
}

TEST(HopDistance, RefusesANodeThatIsNotThereAndAWrongSize) {
  const Csr csr = build(support::path(3));
  EXPECT_THROW(hops_to(csr, 3), base::DataError);
  EXPECT_THROW(hops_from(csr, -1), base::DataError);
  std::vector<std::uint8_t> bytes(8);
  EXPECT_THROW(hop_matrix(csr, 254, bytes), base::DataError);
}

}  // namespace
}  // namespace gtrain::graph

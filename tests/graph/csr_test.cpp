#include "gtrain/graph/csr.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tbb/global_control.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <set>
#include <tuple>

#include "gtrain/base/error.h"
#include "support/odd_graph.h"

namespace gtrain::graph {
namespace {

using support::OddGraph;
using testing::ElementsAre;
using testing::HasSubstr;

Csr build(const OddGraph& g) { return graph::build(g.nodes, g.source, g.target); }

std::multiset<std::pair<Id, Id>> arcs(const Csr& graph) {
  std::multiset<std::pair<Id, Id>> out;
  for (Id i = 0; i < graph.nodes(); ++i) {
    for (const Id j : graph.row(i)) out.emplace(j, i);
  }
  return out;
}

std::multiset<std::pair<Id, Id>> arcs(const OddGraph& g) {
  std::multiset<std::pair<Id, Id>> out;
  for (std::size_t e = 0; e < g.source.size(); ++e) out.emplace(g.source[e], g.target[e]);
  return out;
}

template <class F>
std::string message_of(F&& f) {
  try {
    f();
  } catch (const base::DataError& error) {
    return error.what();
  }
  return "no DataError";
}

TEST(Csr, BuildKeepsEveryEdgeOfOddGraphs) {
  for (const OddGraph& g : support::odd_graphs()) {
    SCOPED_TRACE(g.name);
    const Csr csr = build(g);
    validate(csr);
    EXPECT_EQ(csr.nodes(), g.nodes);
    EXPECT_EQ(arcs(csr), arcs(g));
  }
}

TEST(Csr, EdgeRemembersTheInputPositionAndRepeatsKeepInputOrder) {
  const std::vector<Id> source{2, 0, 2, 1, 0};
  const std::vector<Id> target{1, 1, 1, 0, 1};
  const Csr csr = graph::build(3, source, target);
  EXPECT_THAT(csr.start, ElementsAre(0, 1, 5, 5));
  EXPECT_THAT(csr.source, ElementsAre(1, 0, 0, 2, 2));
  EXPECT_THAT(csr.edge, ElementsAre(3, 1, 4, 0, 2));
}

TEST(Csr, RandomArcsRoundTripThroughTwoTransposes) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const OddGraph g = support::random_arcs(seed, 1 + static_cast<Id>(seed), 80);
    const Csr csr = build(g);
    const Csr turned = transpose(csr);
    validate(turned);
    const Csr back = transpose(turned);
    EXPECT_EQ(back.start, csr.start);
    EXPECT_EQ(back.source, csr.source);
    for (Id e = 0; e < back.edges(); ++e) {
      const auto p = static_cast<std::size_t>(e);
      EXPECT_EQ(
          csr.source[static_cast<std::size_t>(turned.edge[static_cast<std::size_t>(back.edge[p])])],
          back.source[p]);
    }
  }
}

TEST(Csr, SymmetriseGivesBothDirectionsOnce) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const OddGraph g = support::random_arcs(seed, 12, 30);
    std::set<std::pair<Id, Id>> expected;
    for (std::size_t e = 0; e < g.source.size(); ++e) {
      expected.emplace(g.source[e], g.target[e]);
      expected.emplace(g.target[e], g.source[e]);
    }
    const Csr both = symmetrise(build(g));
    validate(both);
    EXPECT_TRUE(symmetric(both));
    const auto found = arcs(both);
    EXPECT_TRUE(std::equal(found.begin(), found.end(), expected.begin(), expected.end()));
  }
}

TEST(Csr, SymmetriseKeepsTheSmallestOriginalEdge) {
  const std::vector<Id> source{1, 0, 1};
  const std::vector<Id> target{0, 1, 0};
  const Csr both = symmetrise(graph::build(2, source, target));
  EXPECT_THAT(both.source, ElementsAre(1, 0));
  EXPECT_THAT(both.edge, ElementsAre(0, 0));
}

TEST(Csr, DeduplicateKeepsTheFirstOfRepeatsAndDropsLoopsOnRequest) {
  const std::vector<Id> source{1, 1, 0, 0, 1};
  const std::vector<Id> target{0, 0, 0, 1, 1};
  const Csr csr = graph::build(2, source, target);
  const Csr kept = deduplicate(csr);
  EXPECT_THAT(kept.start, ElementsAre(0, 2, 4));
  EXPECT_THAT(kept.edge, ElementsAre(2, 0, 3, 4));
  const Csr dropped = deduplicate(csr, true);
  EXPECT_THAT(dropped.start, ElementsAre(0, 1, 2));
  EXPECT_THAT(dropped.source, ElementsAre(1, 0));
}

TEST(Csr, SymmetricCountsRepeatsOnce) {
  const std::vector<Id> source{0, 0, 1};
  const std::vector<Id> target{1, 1, 0};
  EXPECT_TRUE(symmetric(graph::build(2, source, target)));
  EXPECT_FALSE(symmetric(build(support::directed_path(3))));
}

TEST(Csr, BuildNamesTheFirstEdgeOutOfRange) {
  std::vector<Id> source(10000, 0);
  const std::vector<Id> target(10000, 1);
  source[7000] = 2;
  source[9000] = -1;
  EXPECT_THAT(message_of([&] { graph::build(2, source, target); }),
              HasSubstr("(row 7001): edge 2 -> 1; expected both in [0, 2)"));
  EXPECT_THAT(message_of([&] { graph::build(2, source, std::span(target).first(3)); }),
              HasSubstr("10000 sources and 3 targets"));
}

TEST(Csr, ValidateNamesEveryBrokenInvariant) {
  const Csr good = build(support::cycle(4));
  Csr bad = good;
  bad.start[0] = 1;
  EXPECT_THAT(message_of([&] { validate(bad); }), HasSubstr("start[0] = 0"));
  bad = good;
  bad.start[2] = 0;
  EXPECT_THAT(message_of([&] { validate(bad); }), HasSubstr("row 1 ends at 0"));
  bad = good;
  bad.start.back() = 5;
  EXPECT_THAT(message_of([&] { validate(bad); }), HasSubstr("expected"));
  bad = good;
  bad.edge.pop_back();
  EXPECT_THAT(message_of([&] { validate(bad); }), HasSubstr("7 edge ids for 8 entries"));
  bad = good;
  bad.source[3] = 4;
  EXPECT_THAT(message_of([&] { validate(bad); }), HasSubstr("entry 3 has source 4"));
  bad = good;
  std::swap(bad.source[0], bad.source[1]);
  EXPECT_THAT(message_of([&] { validate(bad); }), HasSubstr("row 0 are not ascending"));
  EXPECT_EQ(message_of([&] { validate(good); }), "no DataError");
}

TEST(Csr, ResultsDoNotDependOnTheThreadCount) {
  const OddGraph g = support::random_arcs(3, 500, 60000);
  const auto run = [&](int threads) {
    tbb::global_control limit(tbb::global_control::max_allowed_parallelism,
                              static_cast<std::size_t>(threads));
    tbb::task_arena arena(threads);
    return arena.execute([&] {
      const Csr csr = build(g);
      const Csr both = symmetrise(csr);
      return std::tuple(csr.edge, both.source, both.edge, transpose(csr).edge);
    });
  };
  const auto one = run(1);
  EXPECT_EQ(run(2), one);
  EXPECT_EQ(run(4), one);
}

}  // namespace
}  // namespace gtrain::graph

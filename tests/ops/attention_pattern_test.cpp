#include "gtrain/ops/attention_pattern.h"

#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <tuple>

#include "ops/detail/stable_order.h"
#include "support/edge_batch.h"

namespace gtrain {
namespace {

using ops::AttentionPattern;
using support::EdgeBatch;
using Pair = std::tuple<std::int64_t, std::int64_t, std::int64_t>;  // row, column, type

std::vector<Pair> pairs_of(const AttentionPattern& pattern) {
  std::vector<Pair> pairs;
  const auto* start = pattern.row_start.const_data_ptr<std::int64_t>();
  const auto* column = pattern.column.const_data_ptr<std::int32_t>();
  for (std::int64_t i = 0; i < pattern.rows(); ++i) {
    for (std::int64_t p = start[i]; p < start[i + 1]; ++p) {
      pairs.emplace_back(
          i, column[p],
          pattern.type.defined() ? pattern.type.const_data_ptr<std::uint8_t>()[p] : 0);
    }
  }
  return pairs;
}

// Columns ascend in each row, no pair crosses graphs (rows below `nodes`), the transpose is one.
void expect_sound(const AttentionPattern& pattern, bool ascending = true) {
  const auto pairs = pairs_of(pattern);
  if (ascending) {
    for (std::size_t p = 1; p < pairs.size(); ++p) {
      EXPECT_LT(std::make_pair(std::get<0>(pairs[p - 1]), std::get<1>(pairs[p - 1])),
                std::make_pair(std::get<0>(pairs[p]), std::get<1>(pairs[p])));
    }
  }
  const auto* graph = pattern.graph_start.const_data_ptr<std::int64_t>();
  const std::int64_t nodes = graph[pattern.graphs()];
  const auto graph_of = [&](std::int64_t i) {
    return std::upper_bound(graph, graph + pattern.graphs() + 1, i) - graph;
  };
  for (const auto& [i, j, type] : pairs) {
    if (i < nodes && j < nodes) {
      EXPECT_EQ(graph_of(i), graph_of(j));
    }
    EXPECT_LT(type, pattern.types);
  }
  const auto* start = pattern.column_start.const_data_ptr<std::int64_t>();
  const auto* row = pattern.row.const_data_ptr<std::int32_t>();
  const auto* pair = pattern.pair.const_data_ptr<std::int64_t>();
  std::vector<bool> seen(pairs.size());
  for (std::int64_t j = 0; j < pattern.columns(); ++j) {
    for (std::int64_t t = start[j]; t < start[j + 1]; ++t) {
      const auto p = static_cast<std::size_t>(pair[t]);
      EXPECT_FALSE(seen[p]);
      seen[p] = true;
      EXPECT_EQ(std::get<0>(pairs[p]), row[t]);
      EXPECT_EQ(std::get<1>(pairs[p]), j);
      if (t > start[j]) {
        EXPECT_LT(pair[t - 1], pair[t]);
      }
    }
  }
  EXPECT_EQ(start[pattern.columns()], pattern.pairs());
}

std::set<std::pair<std::int64_t, std::int64_t>> set_of(const AttentionPattern& pattern) {
  std::set<std::pair<std::int64_t, std::int64_t>> set;
  for (const auto& [i, j, type] : pairs_of(pattern)) set.emplace(i, j);
  return set;
}

at::Tensor starts(std::vector<std::int64_t> start) { return at::tensor(start, at::kLong); }

TEST(AttentionPattern, NeighboursAreTheEdgesInTheirOrder) {
  const EdgeBatch b = support::pack_odd_graphs();
  const AttentionPattern pattern = ops::neighbour_pattern(b.graph_start, b.edges);
  expect_sound(pattern);
  EXPECT_TRUE(pattern.column.to(at::kLong).equal(b.edges.source));
  EXPECT_TRUE(pattern.row_start.equal(b.edges.in_start));
  EXPECT_EQ(pattern.types, 1);
}

TEST(AttentionPattern, NeighboursWithSelfHaveEachNodeOnce) {
  const EdgeBatch b = support::pack_odd_graphs();
  const auto without = set_of(ops::neighbour_pattern(b.graph_start, b.edges));
  const AttentionPattern pattern = ops::neighbour_pattern(b.graph_start, b.edges, {.self = true});
  expect_sound(pattern);
  auto expected = without;
  for (std::int64_t i = 0; i < b.nodes; ++i) expected.emplace(i, i);
  EXPECT_EQ(set_of(pattern), expected);
  const EdgeBatch loop = support::pack({support::self_loop()});
  EXPECT_EQ(ops::neighbour_pattern(loop.graph_start, loop.edges, {.self = true}).pairs(),
            ops::neighbour_pattern(loop.graph_start, loop.edges).pairs() + loop.nodes - 1)
      << "one node attends to itself already";
}

TEST(AttentionPattern, HopsAreTypedByDistance) {
  const EdgeBatch b = support::pack(
      {support::path(6), support::directed_path(4), support::self_loop(), support::star(5)});
  const AttentionPattern pattern = ops::k_hop_pattern(b.graph_start, b.edges, {.hops = 2});
  expect_sound(pattern);
  EXPECT_EQ(pattern.types, 3);
  std::map<std::pair<std::int64_t, std::int64_t>, std::int64_t> distance;
  for (std::int64_t i = 0; i < b.nodes; ++i) distance[{i, i}] = 0;
  for (std::int64_t hop = 1; hop <= 2; ++hop) {
    const auto before = distance;
    for (const auto& [ij, d] : before) {
      for (std::int64_t e = 0; e < b.edges.count(); ++e) {
        if (b.edges.target[e].item<std::int64_t>() == ij.second) {
          distance.emplace(std::make_pair(ij.first, b.edges.source[e].item<std::int64_t>()), hop);
        }
      }
    }
  }
  std::map<std::pair<std::int64_t, std::int64_t>, std::int64_t> found;
  for (const auto& [i, j, type] : pairs_of(pattern)) found[{i, j}] = type;
  EXPECT_EQ(found, distance);
}

TEST(AttentionPattern, HopsWithoutSelfLeaveOutTheNode) {
  const EdgeBatch b = support::pack({support::cycle(5)});
  for (const auto& [i, j, type] :
       pairs_of(ops::k_hop_pattern(b.graph_start, b.edges, {.hops = 3, .self = false}))) {
    EXPECT_NE(i, j);
    EXPECT_GT(type, 0);
  }
}

TEST(AttentionPattern, WindowsStopAtTheirGraph) {
  const AttentionPattern pattern =
      ops::window_pattern(starts({0, 7, 7, 10}), {.width = 2, .dilation = 3});
  expect_sound(pattern);
  std::set<std::pair<std::int64_t, std::int64_t>> expected;
  for (std::int64_t i = 0; i < 10; ++i) {
    for (std::int64_t s = -2; s <= 2; ++s) {
      const std::int64_t j = i + 3 * s;
      if (j >= (i < 7 ? 0 : 7) && j < (i < 7 ? 7 : 10)) expected.emplace(i, j);
    }
  }
  EXPECT_EQ(set_of(pattern), expected);
}

TEST(AttentionPattern, RandomPairsHaveTheirDegreeAndNoRepeats) {
  const at::Tensor start = starts({0, 1, 4, 4, 60});
  const AttentionPattern pattern = ops::random_pattern(start, {.degree = 5, .seed = 3});
  expect_sound(pattern);
  const at::Tensor degree = at::diff(pattern.row_start);
  EXPECT_EQ(degree[0].item<std::int64_t>(), 0);
  EXPECT_TRUE(degree.slice(0, 1, 4).eq(2).all().item<bool>());
  EXPECT_TRUE(degree.slice(0, 4, 60).eq(5).all().item<bool>());
  for (const auto& [i, j, type] : pairs_of(pattern)) EXPECT_NE(i, j);
  EXPECT_NE(set_of(pattern), set_of(ops::random_pattern(start, {.degree = 5, .seed = 4})));
  EXPECT_EQ(set_of(pattern), set_of(ops::random_pattern(start, {.degree = 5, .seed = 3})));
}

TEST(AttentionPattern, RandomPairsAreDrawnEvenly) {
  std::vector<std::int64_t> start;
  for (std::int64_t g = 0; g <= 4000; ++g) start.push_back(g * 6);
  const at::Tensor id = at::arange(4000, at::kLong);
  const AttentionPattern pattern =
      ops::random_pattern(starts(start), {.degree = 2, .seed = 1, .graph_id = id});
  const at::Tensor place = pattern.column.remainder(6).to(at::kLong);
  const at::Tensor count = at::bincount(place, {}, 6).to(at::kDouble) / 8000;
  EXPECT_LE(support::distance(count, at::ones({6}, at::kDouble)), 0.06);
}

TEST(AttentionPattern, PackingAGraphWithOthersChangesNothingRandom) {
  const at::Tensor alone = starts({0, 30}), packed = starts({0, 11, 41, 45});
  const at::Tensor id = at::tensor({7}, at::kLong), ids = at::tensor({5, 7, 6}, at::kLong);
  const auto moved = [](const AttentionPattern& pattern) {
    std::set<std::pair<std::int64_t, std::int64_t>> set;
    for (const auto& [i, j] : set_of(pattern)) {
      if (i >= 11 && i < 41) set.emplace(i - 11, j - 11);
    }
    return set;
  };
  EXPECT_EQ(set_of(ops::random_pattern(alone, {.graph_id = id})),
            moved(ops::random_pattern(packed, {.graph_id = ids})));
  EXPECT_EQ(set_of(ops::expander_pattern(alone, {.graph_id = id})),
            moved(ops::expander_pattern(packed, {.graph_id = ids})));
  EXPECT_NE(set_of(ops::expander_pattern(alone, {.graph_id = id})),
            set_of(ops::expander_pattern(alone)));
}

TEST(AttentionPattern, ExpandersAreSymmetricAndNearlyRegular) {
  const at::Tensor start = starts({0, 1, 3, 203});
  for (const ops::ExpanderKind kind :
       {ops::ExpanderKind::kPermutation, ops::ExpanderKind::kHamiltonian}) {
    const AttentionPattern pattern = ops::expander_pattern(start, {.degree = 3, .kind = kind});
    expect_sound(pattern);
    const auto set = set_of(pattern);
    for (const auto& [i, j] : set) {
      EXPECT_NE(i, j);
      EXPECT_TRUE(set.count({j, i}) == 1);
    }
    const at::Tensor degree = at::diff(pattern.row_start);
    EXPECT_EQ(degree[0].item<std::int64_t>(), 0);
    EXPECT_LE(degree.max().item<std::int64_t>(), 6);
    EXPECT_GE(degree.slice(0, 3).to(at::kDouble).mean().item<double>(), 5.5);
  }
}

TEST(AttentionPattern, HamiltonianCyclesVisitEveryNode) {
  const AttentionPattern pattern = ops::expander_pattern(
      starts({0, 50}), {.degree = 1, .kind = ops::ExpanderKind::kHamiltonian});
  EXPECT_TRUE(at::diff(pattern.row_start).eq(2).all().item<bool>());
  const auto* column = pattern.column.const_data_ptr<std::int32_t>();
  std::int64_t from = 0, at = column[0], steps = 1;
  while (at != 0) {
    const std::int64_t next = column[2 * at] == from ? column[2 * at + 1] : column[2 * at];
    from = at;
    at = next;
    ++steps;
  }
  EXPECT_EQ(steps, 50);
}

TEST(AttentionPattern, GlobalNodesSeeAllAndAreSeenByAll) {
  const AttentionPattern pattern = ops::global_pattern(starts({0, 1, 5}), {.count = 2});
  expect_sound(pattern);
  const std::vector<Pair> expected{{1, 2, 0}, {1, 3, 0}, {1, 4, 0}, {2, 1, 0}, {2, 3, 0},
                                   {2, 4, 0}, {3, 1, 1}, {3, 2, 1}, {4, 1, 1}, {4, 2, 1}};
  EXPECT_EQ(pairs_of(pattern), expected);
}

TEST(AttentionPattern, VirtualNodesStandBehindTheRealOnes) {
  const AttentionPattern pattern = ops::virtual_pattern(starts({0, 2, 3}), {.count = 2});
  expect_sound(pattern);
  EXPECT_EQ(pattern.rows(), 7);
  EXPECT_EQ(pattern.columns(), 7);
  const std::vector<Pair> expected{{0, 3, 1}, {0, 4, 1}, {1, 3, 1}, {1, 4, 1},
                                   {2, 5, 1}, {2, 6, 1}, {3, 0, 0}, {3, 1, 0},
                                   {4, 0, 0}, {4, 1, 0}, {5, 2, 0}, {6, 2, 0}};
  EXPECT_EQ(pairs_of(pattern), expected);
}

TEST(AttentionPattern, UnionsTakeTheFirstPartThatHasAPair) {
  const EdgeBatch b = support::pack({support::path(3), support::edgeless(1)});
  const AttentionPattern hops = ops::k_hop_pattern(b.graph_start, b.edges, {.hops = 1});
  const AttentionPattern all = ops::full_pattern(b.graph_start);
  const AttentionPattern extra = ops::virtual_pattern(b.graph_start);
  const AttentionPattern joined = ops::union_pattern({hops, all, extra});
  expect_sound(joined);
  EXPECT_EQ(joined.types, 2 + 1 + 2);
  EXPECT_EQ(joined.rows(), 6);
  const std::vector<Pair> expected{{0, 0, 0}, {0, 1, 1}, {0, 2, 2}, {0, 4, 4}, {1, 0, 1},
                                   {1, 1, 0}, {1, 2, 1}, {1, 4, 4}, {2, 0, 2}, {2, 1, 1},
                                   {2, 2, 0}, {2, 4, 4}, {3, 3, 0}, {3, 5, 4}, {4, 0, 3},
                                   {4, 1, 3}, {4, 2, 3}, {5, 3, 3}};
  EXPECT_EQ(pairs_of(joined), expected);
}

TEST(AttentionPattern, TopMKeepsTheBestPairsOfEachRow) {
  const AttentionPattern all = ops::full_pattern(starts({0, 3, 4}));
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const at::Tensor scores =
      at::tensor({1.0, 3.0, 2.0, 5.0, 5.0, 5.0, nan, -1.0, nan, 0.0}, at::kDouble);
  const AttentionPattern kept = ops::top_m_pattern(all, scores, 2);
  expect_sound(kept);
  const std::vector<Pair> expected{{0, 1, 0}, {0, 2, 0}, {1, 0, 0}, {1, 1, 0},
                                   {2, 0, 0}, {2, 1, 0}, {3, 3, 0}};
  EXPECT_EQ(pairs_of(kept), expected);
}

TEST(AttentionPattern, PairsInAnyOrderAreSortedAndRepeatsStay) {
  const AttentionPattern pattern = ops::pair_pattern(
      starts({0, 4}), at::tensor({2, 0, 2, 0, 2}, at::kLong),
      at::tensor({4, 1, 0, 1, 4}, at::kLong), 4, 5, at::tensor({1, 2, 3, 4, 5}, at::kByte));
  expect_sound(pattern, false);
  const std::vector<Pair> expected{{0, 1, 2}, {0, 1, 4}, {2, 0, 3}, {2, 4, 1}, {2, 4, 5}};
  EXPECT_EQ(pairs_of(pattern), expected);
  EXPECT_EQ(pattern.types, 6);
}

TEST(AttentionPattern, SortingManyKeysIsStable) {
  at::manual_seed(1);
  for (const auto& [size, keys] :
       {std::pair{200000, 3000}, {200000, 7}, {70000, 100000}, {0, 5}, {70000, 1}}) {
    const at::Tensor key = at::randint(keys, {size}, at::kInt);
    at::Tensor start = at::empty({keys + 1}, at::kLong), order = at::empty({size}, at::kLong);
    ops::detail::stable_order(key.const_data_ptr<std::int32_t>(), size, keys,
                              start.mutable_data_ptr<std::int64_t>(),
                              order.mutable_data_ptr<std::int64_t>());
    EXPECT_TRUE(order.equal(at::argsort(key, true, 0)));
    EXPECT_TRUE(start.equal(support::starts_of(key, keys)));
  }
}

TEST(AttentionPattern, DoesNotDependOnTheThreadCount) {
  const EdgeBatch b = support::pack({support::star(3000), support::grid(50, 60)});
  std::vector<std::vector<Pair>> found;
  for (const int threads : {1, 4}) {
    const tbb::global_control limit(tbb::global_control::max_allowed_parallelism,
                                    static_cast<std::size_t>(threads));
    tbb::task_arena arena(threads);
    arena.execute([&] {
      found.push_back(pairs_of(ops::union_pattern(
          {ops::neighbour_pattern(b.graph_start, b.edges), ops::random_pattern(b.graph_start),
           ops::expander_pattern(b.graph_start), ops::window_pattern(b.graph_start)})));
    });
  }
  EXPECT_EQ(found[0], found[1]);
}

TEST(AttentionPattern, EmptyBatchesHaveEmptyPatterns) {
  const EdgeBatch none = support::pack({});
  for (const at::Tensor& start : {starts({0}), starts({0, 0})}) {
    for (const AttentionPattern& pattern :
         {ops::neighbour_pattern(start, none.edges), ops::k_hop_pattern(start, none.edges),
          ops::window_pattern(start), ops::random_pattern(start), ops::expander_pattern(start),
          ops::global_pattern(start), ops::listed(ops::full_pattern(start))}) {
      expect_sound(pattern);
      EXPECT_EQ(pattern.rows(), 0);
    }
  }
}

TEST(AttentionPattern, RefusesWhatDoesNotFit) {
  const EdgeBatch b = support::pack({support::path(3)});
  EXPECT_THROW(ops::neighbour_pattern(starts({0, 4}), b.edges), c10::Error);
  EdgeBatch stray = b;
  stray.edges.source = b.edges.source + 2;
  EXPECT_THROW(ops::k_hop_pattern(b.graph_start, stray.edges), c10::Error);
  EXPECT_THROW(ops::full_pattern(starts({1, 4})), c10::Error);
  EXPECT_THROW(ops::full_pattern(starts({0, 4, 3})), c10::Error);
  EXPECT_THROW(ops::window_pattern(starts({0, 4}), {.dilation = 0}), c10::Error);
  EXPECT_THROW(ops::random_pattern(starts({0, 4}), {.degree = -1}), c10::Error);
  EXPECT_THROW(ops::random_pattern(starts({0, 4}), {.graph_id = starts({0, 4})}), c10::Error);
  EXPECT_THROW(ops::csr_pattern(starts({0, 2}), starts({0, 1, 2}), at::tensor({0, 2}, at::kInt), 2),
               c10::Error);
  EXPECT_THROW(ops::csr_pattern(starts({0, 2}), starts({0, 1, 3}), at::tensor({0, 1}, at::kInt), 2),
               c10::Error);
  EXPECT_THROW(ops::pair_pattern(starts({0, 2}), starts({0, 5}), starts({0, 1}), 2, 2), c10::Error);
  EXPECT_THROW(ops::union_pattern({}), c10::Error);
  EXPECT_THROW(
      ops::union_pattern({ops::full_pattern(starts({0, 2})), ops::full_pattern(starts({0, 3}))}),
      c10::Error);
}

TEST(AttentionPattern, CatalogNamesEachPatternOnce) {
  std::set<std::string> names;
  for (const ops::PatternListing& listing : ops::pattern_catalog()) {
    EXPECT_TRUE(names.insert(listing.name).second) << listing.name;
    EXPECT_FALSE(listing.doc.empty());
  }
  EXPECT_EQ(names.size(), 10u);
}

}  // namespace
}  // namespace gtrain

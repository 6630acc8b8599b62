#include "gtrain/encode/encoding.h"

#include <gtest/gtest.h>
#include <tbb/global_control.h>
#include <tbb/task_arena.h>

#include <cmath>

#include "encode/odd_dataset.h"

namespace gtrain::encode {
namespace {

using support::OddGraph;

std::vector<EncodingOptions> every_encoding() {
  LaplacianOptions normalised;
  normalised.count = 6;
  normalised.normalization = "sym";
  return {RandomWalkOptions{}, LaplacianOptions{},     normalised,
          DegreeOptions{},     HopDistanceOptions{},   ShortestPathOptions{},
          HeatKernelOptions{}, ElectrostaticOptions{}, WeisfeilerLehmanOptions{}};
}

// Odd graphs, then enough random ones to fill several tasks, one of them large.
std::vector<OddGraph> many_graphs() {
  std::vector<OddGraph> graphs = support::odd_graphs();
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    graphs.push_back(support::random_graph(seed, 3 + static_cast<std::int64_t>(seed % 29), 0.2));
  }
  graphs.push_back(support::random_graph(9, 400, 0.02));
  return graphs;
}

std::string bytes_of(const std::vector<data::Column>& columns) {
  std::string out;
  for (const data::Column& c : columns) out.append(c.as<char>(), c.bytes());
  return out;
}

TEST(Encoding, ColumnsHaveTheDocumentedNamesAndShapes) {
  const std::vector<OddGraph> graphs = support::odd_graphs();
  const data::Dataset dataset = dataset_of(graphs);
  std::int64_t pairs = 0;
  for (const OddGraph& g : graphs) pairs += g.nodes * g.nodes;
  const auto expect = [&](const data::Column& c, const std::string& name, data::Per per,
                          data::DType dtype, std::int64_t rows, std::int64_t width) {
    EXPECT_EQ(c.name, name);
    EXPECT_EQ(c.per, per);
    EXPECT_EQ(c.dtype, dtype);
    EXPECT_EQ(c.rows, rows);
    EXPECT_EQ(c.width, width);
  };
  const std::int64_t n = dataset.nodes();
  const auto walk = compute(dataset, RandomWalkOptions{});
  ASSERT_EQ(walk.size(), 1U);
  expect(walk[0], "random_walk", data::Per::kNode, data::DType::kF32, n, 16);
  const auto lap = compute(dataset, LaplacianOptions{});
  ASSERT_EQ(lap.size(), 2U);
  expect(lap[0], "laplacian.values", data::Per::kNode, data::DType::kF32, n, 8);
  expect(lap[1], "laplacian.vectors", data::Per::kNode, data::DType::kF32, n, 8);
  expect(compute(dataset, HeatKernelOptions{.times = {1, 4}})[0], "heat_kernel", data::Per::kNode,
         data::DType::kF32, n, 2);
  expect(compute(dataset, ElectrostaticOptions{})[0], "electrostatic", data::Per::kNode,
         data::DType::kF32, n, 10);
  expect(compute(dataset, DegreeOptions{})[0], "degree", data::Per::kNode, data::DType::kI32, n, 2);
  expect(compute(dataset, HopDistanceOptions{})[0], "hop_distance", data::Per::kPair,
         data::DType::kU8, pairs, 1);
  expect(compute(dataset, ShortestPathOptions{})[0], "shortest_path", data::Per::kPair,
         data::DType::kI32, pairs, 1);
}

TEST(Encoding, WidthIsWhatAModelSees) {
  EXPECT_EQ(width_of(RandomWalkOptions{}), 16);
  EXPECT_EQ(width_of(LaplacianOptions{}), 8);
  EXPECT_EQ(width_of(DegreeOptions{}), 2);
  EXPECT_EQ(width_of(HeatKernelOptions{}), 16);
  EXPECT_EQ(width_of(ElectrostaticOptions{}), 10);
  EXPECT_EQ(width_of(HopDistanceOptions{}), 1);
  EXPECT_EQ(name_of(HopDistanceOptions{}), "hop_distance");
}

TEST(Encoding, RowsOfADataSetAreThoseOfItsGraphs) {
  const std::vector<OddGraph> graphs = support::odd_graphs();
  const data::Dataset dataset = dataset_of(graphs);
  const auto walks = compute(dataset, RandomWalkOptions{});
  const auto laps = compute(dataset, LaplacianOptions{});
  const float* walk = walks[0].as<float>();
  const float* values = laps[0].as<float>();
  const float* vectors = laps[1].as<float>();
  for (const OddGraph& g : graphs) {
    SCOPED_TRACE(g.name);
    for (const double p : random_walk(csr_of(g), 16)) EXPECT_EQ(*walk++, static_cast<float>(p));
    const Eigenpairs pairs = laplacian(csr_of(g), LaplacianOptions{});
    const std::size_t m = pairs.values.size();
    for (std::size_t i = 0; i < static_cast<std::size_t>(g.nodes); ++i) {
      for (std::size_t c = 0; c < 8; ++c, ++values, ++vectors) {
        if (c >= m) {
          EXPECT_TRUE(std::isnan(*values) && std::isnan(*vectors));
        } else {
          EXPECT_EQ(*values, static_cast<float>(pairs.values[c]));
          EXPECT_EQ(*vectors, static_cast<float>(pairs.vectors[i * m + c]));
        }
      }
    }
  }
}

TEST(Encoding, HopDistancesRunFromRowToColumnAndStopAtTheCap) {
  const data::Dataset dataset = dataset_of({support::edgeless(2), support::directed_path(5)});
  HopDistanceOptions options;
  options.max_distance = 3;
  const auto columns = compute(dataset, options);
  const std::uint8_t* hops = columns[0].as<std::uint8_t>();
  const std::vector<std::uint8_t> apart(hops, hops + 4);
  EXPECT_EQ(apart, (std::vector<std::uint8_t>{0, 255, 255, 0}));
  EXPECT_EQ(hops[4 + 0 * 5 + 2], 2);
  EXPECT_EQ(hops[4 + 0 * 5 + 4], 3);
  EXPECT_EQ(hops[4 + 2 * 5 + 0], 255);
}

TEST(Encoding, ShortestPathsAreOneInnerNodePerPair) {
  const data::Dataset dataset = dataset_of({support::edgeless(2), support::path(4)});
  ShortestPathOptions options;
  const std::vector<std::int32_t> want{-1, -1, 1, 2, -1, -1, -1, 2, 1, -1, -1, -1, 1, 2, -1, -1};
  const auto columns = compute(dataset, options);
  const std::int32_t* inner = columns[0].as<std::int32_t>();
  EXPECT_EQ(std::vector<std::int32_t>(inner, inner + 4), (std::vector<std::int32_t>(4, -1)));
  EXPECT_EQ(std::vector<std::int32_t>(inner + 4, inner + 20), want);
}

TEST(Encoding, QuirkLosesNodeZeroInsideAPath) {
  support::OddGraph star = support::star(4);
  ShortestPathOptions options;
  EXPECT_EQ(shortest_path(csr_of(star), options)[1 * 4 + 2], 0);
  options.quirks = {"v1_node0_path"};
  EXPECT_EQ(shortest_path(csr_of(star), options)[1 * 4 + 2], -1);
}

TEST(Encoding, BitsDoNotDependOnTheThreadCount) {
  const data::Dataset dataset = dataset_of(many_graphs());
  for (const EncodingOptions& options : every_encoding()) {
    SCOPED_TRACE(std::string(name_of(options)));
    const auto run = [&](int threads) {
      tbb::global_control limit(tbb::global_control::max_allowed_parallelism,
                                static_cast<std::size_t>(threads));
      tbb::task_arena arena(threads);
      return arena.execute([&] { return bytes_of(compute(dataset, options)); });
    };
    const std::string one = run(1);
    EXPECT_EQ(run(2), one);
    EXPECT_EQ(run(4), one);
  }
}

}  // namespace
}  // namespace gtrain::encode

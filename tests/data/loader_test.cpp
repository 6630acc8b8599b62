#include "gtrain/data/loader.h"

#include <gmock/gmock.h>
#include <tbb/global_control.h>

#include <algorithm>
#include <numeric>

#include "data/sample.h"

namespace gtrain::data {
namespace {

using testing::HasSubstr;
using Ids = std::vector<std::int64_t>;
using Batches = std::vector<Ids>;

// Graphs of 1, 2, …, 5, 1, 2, … nodes in a path.
Dataset many(int graphs) {
  const test::TemporaryDirectory directory;
  std::string nodes, edges, counts, labels;
  for (int g = 0; g < graphs; ++g) {
    const int n = 1 + g % 5;
    nodes += std::to_string(n) + "\n";
    counts += std::to_string(n - 1) + "\n";
    labels += std::to_string(g) + "\n";
    for (int i = 1; i < n; ++i) edges += std::to_string(i - 1) + "," + std::to_string(i) + "\n";
  }
  const auto raw = directory.path() / "raw";
  write_text(raw / "num-node-list.csv", nodes);
  write_text(raw / "num-edge-list.csv", counts);
  write_text(raw / "edge.csv", edges);
  write_text(raw / "graph-label.csv", labels);
  return pack(read_folder(directory.path(), Level::kGraph), sample_rules());
}

Ids all(const Dataset& d) {
  Ids ids(static_cast<std::size_t>(d.graphs()));
  std::iota(ids.begin(), ids.end(), std::int64_t{0});
  return ids;
}

Batches rest(Loader& loader) {
  Batches batches;
  while (auto batch = loader.next()) {
    batches.push_back(batch->graph_ids);
    EXPECT_EQ(batch->label.const_data_ptr<float>()[0], static_cast<float>(batch->graph_ids[0]));
  }
  return batches;
}

Batches epoch(const Dataset& d, const LoaderOptions& options, std::int64_t number) {
  Loader loader(d, {}, all(d), options);
  loader.start_epoch(number);
  return rest(loader);
}

TEST(Loader, WithoutShufflingKeepsTheOrderAndTheLastBatchIsShort) {
  const Dataset d = many(10);
  EXPECT_EQ(epoch(d, {.batch_size = 4}, 1), (Batches{{0, 1, 2, 3}, {4, 5, 6, 7}, {8, 9}}));
}

TEST(Loader, OrderIsAFunctionOfSeedAndEpochAlone) {
  const Dataset d = many(200);
  const LoaderOptions options{.batch_size = 16, .shuffle = true, .seed = 5};
  const Batches first = epoch(d, options, 3);
  for (const std::size_t threads : {1U, 2U, 4U}) {
    const tbb::global_control control(tbb::global_control::max_allowed_parallelism, threads);
    for (const std::int64_t prefetch : {0, 1, 7}) {
      LoaderOptions other = options;
      other.prefetch = prefetch;
      EXPECT_EQ(epoch(d, other, 3), first) << threads << " threads, prefetch " << prefetch;
    }
  }
  EXPECT_NE(epoch(d, options, 4), first);
  LoaderOptions other = options;
  other.seed = 6;
  EXPECT_NE(epoch(d, other, 3), first);
}

TEST(Loader, EveryIdIsHandedOutOnceAnEpoch) {
  const Dataset d = many(103);
  Ids seen;
  for (const Ids& batch : epoch(d, {.batch_size = 8, .shuffle = true}, 2)) {
    seen.insert(seen.end(), batch.begin(), batch.end());
  }
  std::sort(seen.begin(), seen.end());
  EXPECT_EQ(seen, all(d));
}

TEST(Loader, ResumesAtAnyBatchOfAnEpoch) {
  const Dataset d = many(50);
  const LoaderOptions options{.batch_size = 7, .shuffle = true, .seed = 1};
  const Batches whole = epoch(d, options, 2);
  Loader loader(d, {}, all(d), options);
  for (std::size_t first = 0; first <= whole.size(); ++first) {
    loader.start_epoch(2, static_cast<std::int64_t>(first));
    EXPECT_EQ(loader.batches(), static_cast<std::int64_t>(whole.size()));
    EXPECT_EQ(rest(loader),
              Batches(whole.begin() + static_cast<std::ptrdiff_t>(first), whole.end()));
  }
}

TEST(Loader, AnEpochMayBeAbandoned) {
  const Dataset d = many(500);
  Loader loader(d, {}, all(d), {.batch_size = 2, .prefetch = 16});
  for (int i = 1; i < 50; ++i) {
    loader.start_epoch(i);
    EXPECT_THAT(loader.next()->graph_ids, testing::ElementsAre(0, 1));
  }
}

TEST(Loader, NodeBudgetClosesABatchEarly) {
  const Dataset d = many(10);
  EXPECT_EQ(epoch(d, {.batch_size = 4, .max_nodes = 6}, 1),
            (Batches{{0, 1, 2}, {3}, {4, 5}, {6, 7}, {8}, {9}}));
  EXPECT_THAT(message_of([&] { Loader(d, {}, all(d), {.batch_size = 4, .max_nodes = 4}); }),
              HasSubstr("graph 4 has 5 nodes; expected at most dataset.max_nodes = 4"));
}

TEST(Loader, EmptySplitsAndUnknownGraphsAreRefused) {
  const Dataset d = many(3);
  EXPECT_THAT(message_of([&] { Loader(d, {}, {}, {}); }), HasSubstr("no graphs to load"));
  EXPECT_THAT(message_of([&] { Loader(d, {}, {5}, {}); }), HasSubstr("graph 5"));
}

TEST(Loader, ErrorsOfWorkersReachTheConsumer) {
  const auto start = make_column<std::int64_t>("node_start", Per::kGraph, 31, 1);
  Dataset shorter = many(40);
  Loader loader(shorter, {}, all(shorter), {.batch_size = 4});
  std::copy(shorter.node_start.as<std::int64_t>(), shorter.node_start.as<std::int64_t>() + 31,
            start.data);
  shorter.node_start = start.column;  // graphs 30 to 39 no longer exist
  loader.start_epoch(1);
  EXPECT_THAT(message_of([&] {
                while (loader.next()) {
                }
              }),
              HasSubstr("expected 0 to 29"));
}

TEST(Loader, SingleGraphIsOneBatchWithTheRowsOfTheSplit) {
  const test::TemporaryDirectory directory;
  const auto raw = directory.path() / "raw";
  write_text(raw / "num-node-list.csv", "3\n");
  write_text(raw / "num-edge-list.csv", "2\n");
  write_text(raw / "edge.csv", "0,1\n1,2\n");
  write_text(raw / "node-label.csv", "0\n1\n2\n");
  PackRules rules = sample_rules();
  rules.task = Task::kNodeClass;
  const Dataset d = pack(read_folder(directory.path(), Level::kNode), rules);
  Loader loader(d, {}, {2, 0}, {.batch_size = 1, .shuffle = true});
  loader.start_epoch(1);
  EXPECT_EQ(loader.batches(), 1);
  EXPECT_EQ(loader.graphs(), 2);
  const auto batch = loader.next();
  ASSERT_TRUE(batch.has_value());
  EXPECT_EQ(batch->nodes(), 3);
  EXPECT_EQ(batch->label_row.const_data_ptr<std::int64_t>()[0], 2);
  EXPECT_EQ(batch->label.const_data_ptr<std::int64_t>()[0], 2);
  EXPECT_FALSE(loader.next().has_value());
}

TEST(Loader, GivesNothingBeforeAnEpochIsStarted) {
  const Dataset d = many(3);
  Loader loader(d, {}, all(d), {});
  EXPECT_FALSE(loader.next().has_value());
}

}  // namespace
}  // namespace gtrain::data

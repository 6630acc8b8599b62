#include "train/pair.h"

#include <ATen/ATen.h>

#include <cmath>
#include <map>
#include <set>

#include "gtrain/base/error.h"
#include "train/sample_run.h"

namespace gtrain::train {
namespace {

// Two graphs of 3 and 4 nodes; positives (0,1) (1,2) | (3,6), one listed negative in each.
data::GraphBatch two_graphs() {
  data::GraphBatch b;
  b.graphs = 2;
  b.graph_ids = {5, 9};
  b.graph_start = at::tensor({0, 3, 7}, at::kLong);
  b.graph = at::tensor({0, 0, 0, 1, 1, 1, 1}, at::kLong);
  b.pair = at::tensor({0, 1, 1, 2, 2, 0, 3, 6, 4, 5}, at::kLong).view({5, 2});
  b.label = at::tensor({1.0f, 1.0f, 0.0f, 1.0f, 0.0f}).view({5, 1});
  return b;
}

std::vector<std::pair<std::int64_t, std::int64_t>> listed(const at::Tensor& pair) {
  std::vector<std::pair<std::int64_t, std::int64_t>> out;
  for (std::int64_t p = 0; p < pair.size(0); ++p) {
    out.emplace_back(pair[p][0].item<std::int64_t>(), pair[p][1].item<std::int64_t>());
  }
  return out;
}

TEST(Pair, NegativesShareTheSourceStayInTheGraphAndRepeatNothing) {
  for (int epoch = 1; epoch < 20; ++epoch) {
    data::GraphBatch b = two_graphs();
    draw_negatives(b, 2, 1, epoch);
    const auto pairs = listed(b.pair);
    ASSERT_GE(pairs.size(), 7u);  // 3 positives, 2 negatives each where the draws find them
    ASSERT_LE(pairs.size(), 9u);
    EXPECT_EQ(b.label.sum().item<float>(), 3.0f);
    EXPECT_EQ(pairs[2], std::pair(std::int64_t{3}, std::int64_t{6}));
    EXPECT_EQ(std::set(pairs.begin(), pairs.end()).size(), pairs.size());
    std::map<std::int64_t, int> count;
    for (std::size_t i = 3; i < pairs.size(); ++i) {
      EXPECT_LE(++count[pairs[i].first], 2);
      EXPECT_EQ(pairs[i].second < 3, pairs[i].first < 3);
    }
    for (const auto& [source, _] : count) EXPECT_TRUE(source == 0 || source == 1 || source == 3);
  }
}

TEST(Pair, NegativesOfAGraphDoNotDependOnTheBatchButOnTheEpoch) {
  data::GraphBatch both = two_graphs(), alone = two_graphs(), later = two_graphs();
  alone.graphs = 1;
  alone.graph_ids = {9};
  alone.graph_start = at::tensor({0, 4}, at::kLong);
  alone.graph = at::zeros({4}, at::kLong);
  alone.pair = at::tensor({0, 3}, at::kLong).view({1, 2});
  alone.label = at::ones({1, 1});
  draw_negatives(both, 2, 1, 1);
  draw_negatives(alone, 2, 1, 1);
  const std::int64_t drawn = alone.pair.size(0) - 1;
  EXPECT_TRUE((alone.pair + 3)
                  .narrow(0, 1, drawn)
                  .equal(both.pair.narrow(0, both.pair.size(0) - drawn, drawn)));
  bool differs = false;
  for (int epoch = 2; epoch < 9 && !differs; ++epoch) {
    later = two_graphs();
    draw_negatives(later, 2, 1, epoch);
    differs = !later.pair.equal(both.pair);
  }
  EXPECT_TRUE(differs);
}

TEST(Pair, WithoutRoomForMoreNegativesSomeAreLeftOut) {
  data::GraphBatch b = two_graphs();
  draw_negatives(b, 50, 1, 1);
  // Source 0 has 2 free tails, 1 has 2, 3 has 3.
  EXPECT_EQ(b.pair.size(0), 3 + 7);
  EXPECT_EQ(b.label.sum().item<float>(), 3.0f);
}

TEST(Pair, RanksPositivesAmongTheNodesOfTheirGraph) {
  data::GraphBatch b = two_graphs();
  b.pair = at::tensor({0, 1, 0, 2, 3, 6}, at::kLong).view({3, 2});
  b.label = at::ones({3, 1});
  ASSERT_EQ(with_candidates(b).size(0), 3 + 3 + 3 + 4);
  EXPECT_EQ(listed(with_candidates(b))[5], std::pair(std::int64_t{0}, std::int64_t{2}));
  // Scores of the listed pairs first, which ranks do not read; then (0,v) twice, then (3,v).
  const at::Tensor scores =
      at::tensor({0., 0., 0., /**/ 1., 2., 5., /**/ 1., 2., 5., /**/ 4., 7., 4., 4.});
  const std::vector<Rank> ranks = ranks_of(b, scores.unsqueeze(1));
  ASSERT_EQ(ranks.size(), 3u);
  EXPECT_DOUBLE_EQ(ranks[0].raw, 0.5);       // (0,1) with 2 below (0,2) with 5
  EXPECT_DOUBLE_EQ(ranks[0].filtered, 1.0);  // which is positive itself
  EXPECT_DOUBLE_EQ(ranks[0].extended, 1.0);
  EXPECT_DOUBLE_EQ(ranks[1].raw, 1.0);
  EXPECT_DOUBLE_EQ(ranks[2].raw, 1.0 / 3.0);  // below 7, equal to two: the middle of 2 to 4
  EXPECT_DOUBLE_EQ(ranks[2].filtered, 1.0 / 3.0);
  EXPECT_DOUBLE_EQ(ranks[2].extended, 0.4);  // one of the two is (3,3)
  EXPECT_EQ(ranks[0].graph, 5);
  EXPECT_EQ(ranks[2].graph, 9);
}

// Means over the graphs of the reciprocal ranks in the order of all scores of a source, with those
// of what is left out moved below everything: how Toenshoff et al. 2023 measure. No ties.
struct Ranked {
  double raw = 0, filtered = 0, extended = 0;
};

double place(at::Tensor row, std::int64_t target, const std::vector<std::int64_t>& left_out) {
  row = row.clone();
  for (const std::int64_t v : left_out) {
    if (v != target) row[v] = -1e9;
  }
  const at::Tensor order = at::argsort(row, 0, /*descending=*/true);
  return 1.0 / static_cast<double>((order == target).nonzero().item<std::int64_t>() + 1);
}

Ranked sorted_ranks(const std::vector<at::Tensor>& scores,
                    const std::vector<std::vector<std::pair<std::int64_t, std::int64_t>>>& pairs) {
  Ranked mean;
  for (std::size_t g = 0; g < pairs.size(); ++g) {
    const double share = 1.0 / static_cast<double>(pairs.size() * pairs[g].size());
    for (const auto& [s, t] : pairs[g]) {
      std::vector<std::int64_t> known;
      for (const auto& [source, target] : pairs[g]) {
        if (source == s) known.push_back(target);
      }
      const at::Tensor row = scores[g][s];
      mean.raw += share * place(row, t, {});
      mean.filtered += share * place(row, t, known);
      known.push_back(s);
      mean.extended += share * place(row, t, known);
    }
  }
  return mean;
}

TEST(Pair, RanksOfRandomGraphsAreThoseOfSortedScores) {
  base::Random random(17);
  for (int trial = 0; trial < 20; ++trial) {
    data::GraphBatch b;
    std::vector<at::Tensor> scores, graph, flat, ends;
    std::vector<std::vector<std::pair<std::int64_t, std::int64_t>>> pairs;
    std::int64_t first = 0;
    for (std::int64_t g = 0; g < 5; ++g) {
      const auto n = static_cast<std::int64_t>(3 + random.below(12));
      at::Tensor score = at::empty({n, n}, at::kDouble);
      double* p = score.mutable_data_ptr<double>();
      for (std::int64_t i = 0; i < n * n; ++i) p[i] = random.uniform();
      std::set<std::pair<std::int64_t, std::int64_t>> drawn;
      while (drawn.size() < static_cast<std::size_t>(n)) {
        const auto s = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(n)));
        const auto t = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(n)));
        if (s != t) drawn.emplace(s, t);
      }
      pairs.emplace_back(drawn.begin(), drawn.end());
      for (const auto& [s, t] : pairs.back()) {
        ends.push_back(at::tensor({first + s, first + t}, at::kLong));
        flat.push_back(score[s]);
      }
      graph.push_back(at::full({n}, g, at::kLong));
      b.graph_ids.push_back(100 + g);
      scores.push_back(score);
      first += n;
    }
    b.graph = at::cat(graph);
    b.source = b.target = at::empty({0}, at::kLong);
    data::finish(b, first, 5);
    b.pair = at::stack(ends);
    b.label = at::ones({b.pair.size(0), 1});
    Scores s;
    s.task = data::Task::kEdgeBinary;
    s.ranks = ranks_of(b, at::cat({at::zeros({b.pair.size(0)}, at::kDouble), at::cat(flat)}));
    const Ranked want = sorted_ranks(scores, pairs);
    const auto value = [&](const char* name) { return find_metric(name, s.task).value(s); };
    EXPECT_NEAR(value("graph_mrr"), want.raw, 1e-12);
    EXPECT_NEAR(value("graph_mrr_filtered"), want.filtered, 1e-12);
    EXPECT_NEAR(value("graph_mrr_extended"), want.extended, 1e-12);
    EXPECT_GT(want.extended, want.filtered);
    EXPECT_GT(want.filtered, want.raw);
  }
}

TEST(Pair, HitsCountTheLastRankForEveryNumberOfRanks) {
  for (int k = 1; k <= 300; ++k) {
    Scores s;
    s.task = data::Task::kEdgeBinary;
    s.ranks = {{0, 1.0 / k, 1.0, 1.0}, {1, 1.0 / (k + 0.5), 1.0, 1.0}};
    const Metric hits = find_metric("graph_hits@" + std::to_string(k), s.task);
    EXPECT_EQ(hits.value(s), 0.5) << k;
  }
}

TEST(Pair, GraphMetricsAreMeansOfGraphsNotOfPairs) {
  Scores s;
  s.task = data::Task::kEdgeBinary;
  s.ranks = {{0, 1.0, 1.0, 1.0}, {0, 0.5, 1.0, 1.0}, {3, 0.25, 0.5, 1.0}};
  const auto value = [&](const char* name) {
    return find_metric(name, data::Task::kEdgeBinary).value(s);
  };
  EXPECT_DOUBLE_EQ(value("graph_mrr"), (0.75 + 0.25) / 2);
  EXPECT_DOUBLE_EQ(value("graph_mrr_filtered"), (1.0 + 0.5) / 2);
  EXPECT_DOUBLE_EQ(value("graph_mrr_extended"), 1.0);
  EXPECT_DOUBLE_EQ(value("graph_hits@1"), (0.5 + 0.0) / 2);
  EXPECT_DOUBLE_EQ(value("graph_hits@4"), 1.0);
  EXPECT_TRUE(std::isnan(find_metric("graph_mrr", data::Task::kEdgeBinary).value(Scores())));
  EXPECT_THROW(find_metric("graph_hits@0", data::Task::kEdgeBinary), base::RecipeError);
  EXPECT_THROW(find_metric("graph_mrr", data::Task::kGraphBinary), base::RecipeError);
}

// Rings whose positive pairs are the nodes of equal type two steps apart.
class TrainedPairs : public TrainedSample {
 protected:
  TrainedPairs() {
    std::string pair, count, label;
    for (int g = 0; g < 40; ++g) {
      const int n = 3 + g % 5;
      int listed = 0;
      for (int i = 0; i < n; ++i) {
        const int j = (i + 2) % n;
        const bool positive = (i * g) % 4 == (j * g) % 4;
        if (!positive && i > 1) continue;
        pair += std::to_string(i) + "," + std::to_string(j) + "\n";
        label += positive ? "1\n" : "0\n";
        ++listed;
      }
      count += std::to_string(listed) + "\n";
    }
    const auto raw = root() / "rings/raw";
    write_text(raw / "pair.csv.gz", gzip(pair));
    write_text(raw / "num-pair-list.csv.gz", gzip(count));
    write_text(raw / "pair-label.csv.gz", gzip(label));
  }

  Recipe pairs(std::vector<std::string> more = {}) const {
    more.insert(more.begin(), {"dataset.task=edge_binary", "dataset.metric=rocauc",
                               "model.head={name: edge, layers: 2}"});
    return recipe(more);
  }
};

TEST_F(TrainedPairs, AreTrainedJudgedAndPredicted) {
  run(pairs({"train.epochs=12", "train.optimizer={name: adamw, lr: 0.01}"}), options("a"));
  const auto r = result("a");
  EXPECT_GT(r["train"]["rocauc"].get<double>(), 0.7);
  for (const char* name : {"mrr", "hits@10", "ap"}) EXPECT_TRUE(r["test"][name].is_number());
  predict(root() / "a", nullptr, "test", root() / "p.csv");
  std::istringstream rows(text_of(root() / "p.csv"));
  std::string line;
  std::getline(rows, line);
  EXPECT_EQ(line, "graph,source,target,task0");
  std::getline(rows, line);
  EXPECT_EQ(line.substr(0, 6), "4,0,2,");
}

TEST_F(TrainedPairs, RankedWithNegativesGiveTheSameBytesWholeOrInParts) {
  const Recipe r = pairs({"train.epochs=2", "train.negatives=2", "dataset.metric=graph_mrr"});
  run(r, options("whole"));
  const auto test = result("whole")["test"];
  EXPECT_GT(test["graph_mrr"].get<double>(), 0.1);
  EXPECT_GE(test["graph_mrr_filtered"].get<double>(), test["graph_mrr"].get<double>());
  EXPECT_GE(test["graph_mrr_extended"].get<double>(), test["graph_mrr_filtered"].get<double>());
  EXPECT_GE(test["graph_hits@10"].get<double>(), test["graph_hits@1"].get<double>());
  EXPECT_TRUE(metric_lines("whole")[0]["graph_mrr"].is_null());  // training measures no ranks
  std::atomic<int> signal{15};
  RunOptions o = options("parts");
  o.interrupt = &signal;
  RunOutcome outcome = run(r, o);
  for (int i = 0; i < 50 && outcome.code == base::ExitCode::kTerminated; ++i) {
    outcome = resume(root() / "parts", o);
  }
  EXPECT_TRUE(text_of(root() / "whole/last.safetensors") ==
              text_of(root() / "parts/last.safetensors"));
  EXPECT_EQ(timeless_lines("whole"), timeless_lines("parts"));
  const auto judged = nlohmann::json::parse(evaluate(root() / "whole", "test"));
  EXPECT_EQ(judged["graph_mrr"], test["graph_mrr"]);
}

TEST_F(TrainedPairs, NegativesOfAnotherTaskAreARecipeError) {
  EXPECT_THROW(run(recipe({"train.negatives=2"}), options("a")), base::RecipeError);
}

}  // namespace
}  // namespace gtrain::train

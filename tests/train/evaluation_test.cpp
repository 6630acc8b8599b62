#include "train/evaluation.h"

#include <ATen/ATen.h>

#include "gtrain/base/error.h"
#include "train/sample_run.h"

namespace gtrain::train {
namespace {

// Scores [R, positions, V] that decide for `tokens`.
at::Tensor deciding(std::initializer_list<std::int64_t> tokens, std::int64_t v) {
  return at::one_hot(at::tensor(tokens, at::kLong), v).to(at::kFloat).unsqueeze(0);
}

at::Tensor row(std::initializer_list<float> tokens) { return at::tensor(tokens).unsqueeze(0); }
at::Tensor words(std::initializer_list<std::int64_t> ids) {
  return at::tensor(ids, at::kLong).unsqueeze(0);
}

TEST(Evaluation, TokensEndAtTheFirstEndOfASequence) {
  EXPECT_TRUE(decided_tokens(deciding({0, 3, 1}, 5)).equal(row({0.0f, 3.0f, 1.0f})));
  EXPECT_TRUE(decided_tokens(deciding({2, 4, 1}, 5)).equal(row({2.0f, -1.0f, -1.0f})));
}

TEST(Evaluation, OfTokensComparesSetsOfWords) {
  const auto score = [](const at::Tensor& predicted, const at::Tensor& label) {
    const Scores s(data::Task::kGraphSubtoken, predicted, label);
    return find_metric("f1", data::Task::kGraphSubtoken).value(s);
  };
  // {0, 1} of {1, 0, 7}: precision 1, recall 2/3; repeated words count once.
  EXPECT_DOUBLE_EQ(score(row({0.0f, 1.0f, 0.0f}), words({1, 0, 7, -1})), 0.8);
  // The id of an unknown word is no prediction's.
  EXPECT_DOUBLE_EQ(score(row({3.0f, -1.0f}), words({5, -1})), 0.0);
  EXPECT_DOUBLE_EQ(score(row({-1.0f, -1.0f}), words({5, -1})), 0.0);
}

// Rings whose label names their size and remainder.
class TrainedTexts : public TrainedSample {
 protected:
  TrainedTexts() {
    std::string label;
    for (int g = 0; g < 40; ++g) {
      label += "ri,ng size" + std::to_string(3 + g % 5) + (g % 7 == 0 ? " rare\n" : "\n");
    }
    write_text(root() / "rings/raw/graph-label.csv.gz", gzip(label));
  }
  Recipe texts() const {
    return recipe({"dataset.task=graph_subtoken", "dataset.metric=f1", "train.epochs=20",
                   "train.optimizer={name: adamw, lr: 0.02}",
                   "model.head={name: mlp, layers: 1, pool: sum}"});
  }
};

TEST_F(TrainedTexts, AreTrainedJudgedAndPredictedAsWords) {
  run(texts(), options("a"));
  const auto r = result("a");
  EXPECT_GT(r["train"]["f1"].get<double>(), 0.5);
  EXPECT_TRUE(r["test"]["precision"].is_number());
  EXPECT_TRUE(r["test"]["recall"].is_number());
  predict(root() / "a", nullptr, "train", root() / "p.csv");
  std::istringstream rows(text_of(root() / "p.csv"));
  std::string head, first;
  std::getline(rows, head);
  std::getline(rows, first);
  EXPECT_EQ(head, "graph,token0,token1,token2,token3,token4");
  EXPECT_EQ(first.substr(0, 10), "0,\"ri,ng\",");
  EXPECT_EQ(evaluate(root() / "a", "valid"), evaluate(root() / "a", "valid"));
}

}  // namespace
}  // namespace gtrain::train

#include "gtrain/train/prune_run.h"

#include <gmock/gmock.h>

#include "gtrain/base/error.h"
#include "gtrain/train/checkpoint.h"
#include "gtrain/train/export_run.h"
#include "train/sample_run.h"

namespace gtrain::train {
namespace {

class PrunedRun : public TrainedSample {
 protected:
  nlohmann::json account(const std::string& name) const {
    return nlohmann::json::parse(text_of(root() / name / "prune.json"));
  }
  double mae(const std::string& name) const {
    return nlohmann::json::parse(evaluate(root() / name, "test"))["mae"];
  }
};

constexpr const char* kRules =
    "sparsify={rules: [{name: heads, keep: 0.5, end: 4}, {name: layers, keep: 0.5, method: "
    "learned, end: 4}, {name: weights, keep: 0.5, structure: neuron, method: gmp, end: 4}]}";

TEST_F(PrunedRun, SaysWhatTheMaskedModelSaysWithLess) {
  ASSERT_EQ(run(recipe({kRules}), options("a")).code, base::ExitCode::kOk);
  prune_run(root() / "a", root() / "b");
  const auto said = account("b");
  EXPECT_LT(said["after"]["parameters"], said["before"]["parameters"]);
  EXPECT_LT(said["after"]["flops_per_graph"], said["before"]["flops_per_graph"]);
  EXPECT_LT(said["largest_difference"], 1e-5);
  const double left = said["after"]["flops_per_graph"];
  EXPECT_NEAR(said["predicted_flops_per_graph"], left, 0.01 * left);
  const double numbers = said["after"]["parameters"];
  EXPECT_NEAR(said["predicted_parameters"], numbers, 0.01 * numbers);
  EXPECT_NEAR(mae("b"), mae("a"), 1e-4);
}

TEST_F(PrunedRun, ChoosesNodesWithTheHeadsThatAreLeft) {
  const std::string rules =
      "sparsify={rules: [{name: tokens, keep: 0.5, scorer: attention, end: 4}, {name: heads, keep: "
      "0.5, end: 4}, {name: layers, keep: 0.5, method: learned, end: 4}]}";
  ASSERT_EQ(run(recipe({rules}), options("a")).code, base::ExitCode::kOk);
  prune_run(root() / "a", root() / "b");  // dead heads had no say before either
  EXPECT_FALSE(load_recipe(root() / "b/recipe.yaml", {}).sparsify->rules.empty());
  EXPECT_NEAR(mae("b"), mae("a"), 1e-4);
}

TEST_F(PrunedRun, IsWhereFineTuningBeginsAndGoesOn) {
  ASSERT_EQ(run(recipe({kRules}), options("a")).code, base::ExitCode::kOk);
  prune_run(root() / "a", root() / "b");
  const Recipe again = load_recipe(root() / "b/recipe.yaml", {"train.epochs=2"});
  EXPECT_FALSE(again.sparsify);
  ASSERT_EQ(run(again, options("c")).code, base::ExitCode::kOk);
  EXPECT_EQ(result("c")["parameters"], account("b")["after"]["parameters"]);
  EXPECT_EQ(resume(root() / "c", options("c")).code, base::ExitCode::kOk);
  EXPECT_EQ(mae("c"), result("c")["test"]["mae"]);
}

TEST_F(PrunedRun, GoesByTheWeightsThatAreLeftAndTrainsThemOn) {
  const std::string rules =
      "sparsify={rules: [{name: weights, keep: 0.1, method: gmp, end: 4}, {name: heads, keep: 0.5, "
      "end: 4}]}";
  ASSERT_EQ(run(recipe({rules, "model.width=32"}), options("a")).code, base::ExitCode::kOk);
  prune_run(root() / "a", root() / "b");
  const auto said = account("b");
  const double flops = said["after"]["flops_per_graph"], numbers = said["after"]["parameters"];
  EXPECT_LT(flops, 0.5 * said["before"]["flops_per_graph"].get<double>());
  EXPECT_NEAR(said["predicted_flops_per_graph"], flops, 0.01 * flops);
  EXPECT_NEAR(said["predicted_parameters"], numbers, 0.01 * numbers);
  EXPECT_NEAR(mae("b"), mae("a"), 1e-4);
  ASSERT_EQ(run(load_recipe(root() / "b/recipe.yaml", {"train.epochs=2"}), options("c")).code,
            base::ExitCode::kOk);
  const Checkpoint then = read_checkpoint(root() / "b/last.safetensors");
  const Checkpoint now = read_checkpoint(root() / "c/last.safetensors");
  const at::Tensor was = then.model.at("layer_0.feed_0.weight");
  const at::Tensor is = now.model.at("layer_0.feed_0.weight");
  EXPECT_FALSE(is.equal(was));
  EXPECT_TRUE((is != 0).equal(was != 0));
  EXPECT_EQ(resume(root() / "c", options("c")).code, base::ExitCode::kOk);
  EXPECT_EQ(mae("c"), result("c")["test"]["mae"]);
  EXPECT_NO_THROW(export_run(root() / "c", root() / "c.pt", {}));
}

// Whether zeros stayed out of products while it trained on, or learned again.
TEST_F(PrunedRun, IsPrunedAgain) {
  const std::string rules = "sparsify={rules: [{name: weights, keep: 0.25, method: gmp, end: 4}]}";
  ASSERT_EQ(run(recipe({rules, "model.width=32"}), options("a")).code, base::ExitCode::kOk);
  prune_run(root() / "a", root() / "b");
  const auto once = account("b")["after"];
  for (const std::string method : {"gmp", "granet"}) {
    SCOPED_TRACE(method);
    const std::string more =
        "sparsify={rules: [{name: heads, keep: 0.5, end: 4}, {name: weights, keep: 0.08, method: " +
        method + ", end: 4}]}";
    ASSERT_EQ(run(load_recipe(root() / "b/recipe.yaml", {more}), options(method)).code,
              base::ExitCode::kOk);
    prune_run(root() / method, root() / (method + "-pruned"));
    const auto said = account(method + "-pruned");
    const double flops = said["after"]["flops_per_graph"], numbers = said["after"]["parameters"];
    EXPECT_LT(flops, 0.7 * once["flops_per_graph"].get<double>());
    EXPECT_LT(numbers, 0.7 * once["parameters"].get<double>());
    EXPECT_LE(numbers, said["before"]["parameters"].get<double>());
    EXPECT_NEAR(said["predicted_flops_per_graph"], flops, 0.01 * flops);
    EXPECT_NEAR(said["predicted_parameters"], numbers, 0.01 * numbers);
    EXPECT_NEAR(mae(method + "-pruned"), mae(method), 1e-4);
  }
}

// `export` loads its file again and compares it with the model.
TEST_F(PrunedRun, IsExported) {
  const std::string parts =
      "width: 8, layers: 2, heads: 4, dropout: 0.1, node: {name: type}, head: {name: halving, "
      "layers: 1, pool: ";
  const std::vector<std::vector<std::string>> models{
      {"model={name: gps, edge: {name: type}, " + parts + "mean}}"},
      {"model={name: gt, edge: {name: type}, " + parts + "mean}}"},
      {"model={name: gt, edge: {name: none}, pattern: full, " + parts + "mean}}"},
      {"model={name: san, edge: {name: type}, " + parts + "mean}}"},
      {"model={name: san, gamma: 0, edge: {name: type}, " + parts + "mean}}"},
      {"model.global=performer", "model.performer={head_width: 4, features: 8}", "model.heads=4"},
      {"model={name: graphtrans, hidden: 8, edge: {name: type}, gnn: {width: 8, layers: 2}, " +
       parts + "graph_token}}"},
      {"encode=[{name: degree}, {name: hop_distance}]",
       "model={name: graphormer, hidden: 8, bias: {degrees: 8, max_distance: 4, path: none, token: "
       "true}, " +
           parts + "graph_token}}"}};
  for (std::size_t i = 0; i < models.size(); ++i) {
    std::vector<std::string> keys = models[i];
    keys.emplace_back(kRules);
    const std::string name = std::to_string(i);
    SCOPED_TRACE(keys[keys.size() - 2]);
    ASSERT_EQ(run(recipe(keys), options(name)).code, base::ExitCode::kOk);
    prune_run(root() / name, root() / (name + "-pruned"));
    EXPECT_LT(account(name + "-pruned")["largest_difference"], 1e-5);
    EXPECT_NO_THROW(export_run(root() / (name + "-pruned"), root() / (name + ".pt"), {}));
  }
}

// Seconds are of a pass over it, as FLOPs are.
TEST_F(PrunedRun, OfOneGraphIsAccountedForByTheGraph) {
  write_one_graph(root() / "one", 400);
  ASSERT_EQ(run(recipe({"dataset.path=" + (root() / "one").string(), "dataset.task=node_class",
                        "dataset.metric=acc", "model.head={name: node}", "model.width=32",
                        "model.heads=4", "train.epochs=2",
                        "sparsify={rules: [{name: heads, keep: 0.5}]}"}),
                options("a"))
                .code,
            base::ExitCode::kOk);
  prune_run(root() / "a", root() / "b");
  const auto said = account("b")["after"];
  const double flops = said["flops_per_graph"], seconds = said["seconds_per_graph"];
  EXPECT_LT(flops / seconds, 1e12) << "no core of today";
}

// A head that takes the difference of two large numbers which are equal but for their rounding.
TEST_F(PrunedRun, MayRoundAsADeepModelDoes) {
  const std::string rules =
      "sparsify={rules: [{name: weights, keep: 0.1, method: gmp, end: 4}]}";  // sparse products
  ASSERT_EQ(
      run(recipe({rules, "model.width=64", "model.heads=4", "select=last"}), options("a")).code,
      base::ExitCode::kOk);
  Checkpoint state = read_checkpoint(root() / "a/last.safetensors");
  const at::Tensor weight = state.model.at("head.linear_0.weight"),
                   bias = state.model.at("head.linear_0.bias"),
                   last = state.model.at("head.linear_1.weight");
  weight[1].copy_(weight[0] * 3);
  bias[0].fill_(5);
  bias[1].fill_(15);
  last[0][0].fill_(3e4);
  last[0][1].fill_(-1e4);
  save_generation(root() / "a", state);
  prune_run(root() / "a", root() / "b");
  const double difference = account("b")["largest_difference"];
  if (difference == 0) GTEST_SKIP() << "sparse and dense products sum in one order here";
  EXPECT_GT(difference, 1e-5);
}

// An attention that was closed for good has no heads left.
TEST_F(PrunedRun, RulesKnowOfTheAttentionsThatAreGone) {
  const std::string model =
      "model={name: gt, edge: {name: none}, pattern: full, width: 8, layers: 3, heads: 2, node: "
      "{name: type}, head: {name: halving, layers: 1, pool: mean}}";
  ASSERT_EQ(run(recipe({model,
                        "sparsify={rules: [{name: layers, keep: 0.34, method: learned, end: 4}]}"}),
                options("a"))
                .code,
            base::ExitCode::kOk);
  prune_run(root() / "a", root() / "b");
  const std::string init = "init={from: " + (root() / "b").string() + "}";
  const auto trained = [&](const std::string& rule, const std::string& name) {
    run(recipe({model, init, "sparsify={rules: [{" + rule + "}]}", "train.epochs=2"}),
        options(name));
  };
  for (const char* scorer : {"attention", "pagerank"}) {
    EXPECT_THAT(
        [&] {
          trained("name: tokens, keep: 0.5, depth: network, scorer: " + std::string(scorer), "c");
        },
        testing::ThrowsMessage<base::RecipeError>(testing::HasSubstr("has no heads left")));
  }
  trained("name: tokens, keep: 0.5, depth: network", "learned");
  EXPECT_EQ(result("learned")["status"], "ok");
  EXPECT_THAT([&] { trained("name: layers, keep: 0.34, method: learned, end: 4", "again"); },
              testing::ThrowsMessage<base::RecipeError>(
                  testing::HasSubstr("of 1 branches leaves all of them")));
  EXPECT_THAT(
      [&] {
        run(recipe({model, "init={from: " + (root() / "learned").string() + "}"}), options("d"));
      },
      testing::ThrowsMessage<base::RecipeError>(testing::HasSubstr("not in the model")))
      << "what its gates switch off would be on again";
}

TEST_F(PrunedRun, RefusesWhatHasNothingToCut) {
  ASSERT_EQ(run(recipe({"train.epochs=1"}), options("a")).code, base::ExitCode::kOk);
  EXPECT_THROW(prune_run(root() / "a", root() / "b"), base::RecipeError);
  ASSERT_EQ(run(recipe({"train.epochs=1", "sparsify={rules: [{name: weights, keep: 0.5}]}"}),
                options("c"))
                .code,
            base::ExitCode::kOk);
  EXPECT_THROW(prune_run(root() / "c", root() / "d"), base::RecipeError);
  EXPECT_FALSE(std::filesystem::exists(root() / "d"));
  EXPECT_THROW(prune_run(root() / "c", root() / "a"), base::RecipeError);
}

}  // namespace
}  // namespace gtrain::train

#include "gtrain/train/recipe.h"

#include <gtest/gtest.h>

#include "gtrain/base/error.h"
#include "gtrain/train/recipe_file.h"

namespace gtrain::train {
namespace {

const char* const kGood = R"(dataset: {name: zinc}
encode: [{name: random_walk, steps: 20}]
model:
  {name: gps, width: 64, node: {name: type}, edge: {name: type}, head: {name: halving},
   encoders: [{of: random_walk, kind: linear, dim: 8}]}
)";

std::string problems_with(const std::vector<std::string>& overrides) {
  try {
    parse_recipe(kGood, "r", overrides);
  } catch (const base::RecipeError& e) {
    return e.what();
  }
  return {};
}

TEST(RecipeFields, GoodRecipeHasNoProblem) { EXPECT_EQ(problems_with({}), ""); }

TEST(RecipeFields, NeedADatasetAndAModel) {
  try {
    parse_recipe("{}", "r", {});
    FAIL();
  } catch (const base::RecipeError& e) {
    EXPECT_STREQ(e.what(), "r:1:1: dataset: is missing\nr:1:1: model: is missing");
  }
}

TEST(RecipeFields, EncodersReadComputedEncodings) {
  EXPECT_EQ(problems_with({"encode=[]"}),
            "r:5:16: model.encoders[0].of: random_walk is not computed; add encode: [{name: "
            "random_walk}]");
  EXPECT_EQ(problems_with({"encode=[{name: degree}, {name: laplacian}]"}),
            "r:5:16: model.encoders[0].of: random_walk is not among those under encode (degree, "
            "laplacian)");
}

TEST(RecipeFields, RowEncodersReadRowsPerNode) {
  EXPECT_NE(problems_with({"encode=[{name: laplacian}]", "model.encoders[0].of=laplacian"})
                .find("laplacian is no row of numbers per node; expected kind: deepset with it"),
            std::string::npos);
  EXPECT_NE(problems_with({"encode=[{name: hop_distance}]", "model.encoders[0].of=hop_distance"}),
            "");
}

TEST(RecipeFields, DistancesThatABiasTellsApartAreComputed) {
  const std::string model =
      "model={name: graphormer, width: 8, layers: 1, heads: 2, hidden: 8, node: {name: type}, "
      "bias: {max_distance: 6, path: none, cut: 9}, head: {name: halving, pool: graph_token}}";
  const auto with = [&](const std::string& cap) {
    return problems_with(
        {"encode=[{name: degree}, {name: hop_distance, max_distance: " + cap + "}]", model});
  };
  EXPECT_EQ(with("9"), "");
  EXPECT_NE(with("8").find(
                "encode[1].max_distance: is less than the 9 hops that the model's bias counts"),
            std::string::npos)
      << with("8");
}

TEST(RecipeFields, EncodingsAreNamedOnce) {
  EXPECT_EQ(problems_with({"encode[1]={name: random_walk, steps: 3}"}),
            "command line: encode[1]={name: random_walk, steps: 3}: encode[1].name: random_walk is "
            "computed twice; name each encoding once");
}

TEST(RecipeFields, WarmUpEndsBeforeTraining) {
  EXPECT_NE(problems_with({"train.epochs=5", "train.schedule={name: linear, warmup: 5}"}), "");
  EXPECT_EQ(problems_with({"train.epochs=5", "train.schedule={name: linear, warmup: 4}"}), "");
  EXPECT_NE(problems_with(
                {"train.steps=100", "train.schedule={name: polynomial, unit: step, warmup: 100}"}),
            "");
  EXPECT_EQ(problems_with(
                {"train.epochs=5", "train.schedule={name: polynomial, unit: step, warmup: 100}"}),
            "");
}

TEST(RecipeFields, PlateauFactorShrinks) {
  EXPECT_NE(problems_with({"train.schedule={name: plateau, factor: 1}"}), "");
  EXPECT_NE(problems_with({"train.schedule={name: plateau, factor: 0}"}), "");
  EXPECT_EQ(problems_with({"train.schedule={name: plateau, factor: 0.5, metric: mae}"}), "");
}

TEST(RecipeFields, SeedsAndFoldsAreDistinctAndFoldsStandInOnePlace) {
  EXPECT_NE(problems_with({"repeat.seeds=[]"}).find("at least one seed"), std::string::npos);
  EXPECT_NE(problems_with({"repeat.seeds=[1, 1]"}).find("names a seed twice"), std::string::npos);
  EXPECT_NE(problems_with({"repeat.folds=[0, 0..2]"}).find("names a fold twice"),
            std::string::npos);
  EXPECT_NE(problems_with({"repeat.folds=[0]", "dataset.fold=1"}).find("cannot stand beside"),
            std::string::npos);
}

TEST(RecipeFields, TellEveryOptimizerAndSchedule) {
  for (const char* name : {"adamw", "adam", "sgd", "adagrad"}) {
    EXPECT_EQ(problems_with({std::string("train.optimizer={name: ") + name + ", lr: 0.1}"}), "");
  }
  for (const char* name : {"constant", "cosine", "linear", "polynomial", "plateau"}) {
    EXPECT_EQ(problems_with({std::string("train.schedule={name: ") + name + "}"}), "");
  }
}

TEST(RecipeFields, RefuseNumbersOutOfBounds) {
  for (const char* bad :
       {"train.epochs=0", "train.accumulate=0", "train.clip_norm=-1", "train.eval_every=0",
        "train.optimizer={name: adamw, beta1: 1}", "train.optimizer={name: sgd, lr: -0.1}",
        "train.stop.hours=-1", "repeat.seeds=[-1]", "train.loss=l3"}) {
    EXPECT_NE(problems_with({bad}), "") << bad;
  }
}

}  // namespace
}  // namespace gtrain::train

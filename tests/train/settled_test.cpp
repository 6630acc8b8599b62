#include "train/settled.h"

#include <ATen/ATen.h>

#include "gtrain/base/error.h"
#include "gtrain/models/zoo.h"
#include "gtrain/sparsify/compact.h"
#include "gtrain/train/build.h"
#include "gtrain/train/checkpoint.h"
#include "gtrain/train/prune_run.h"
#include "train/sample_run.h"

namespace gtrain::train {
namespace {

// All of these are settled after 6 of the sample's 16 updates.
const std::vector<std::string> kRules{"name: tokens",
                                      "name: tokens, scorer: attention",
                                      "name: tokens, scorer: pagerank, propagate: 0.5",
                                      "name: heads",
                                      "name: heads, method: l0, start: 2",
                                      "name: layers, method: learned, start: 2",
                                      "name: layers, method: learned, branches: all, start: 2",
                                      "name: weights",
                                      "name: weights, of: [layer_0]",
                                      "name: weights, distribution: erk",
                                      "name: weights, method: rigl",
                                      "name: weights, structure: neuron",
                                      "name: weights, structure: '2:4'"};

class Settled : public TrainedSample {
 protected:
  Recipe with(const std::string& rule) const {
    return recipe({"sparsify={rules: [{" + rule + ", end: 6}]}", "model.global=attention"});
  }
};

TEST_F(Settled, CostsWhatTheTrainedModelCosts) {
  for (const std::string& text : kRules) {
    const Recipe r = with(text + ", keep: 0.5");
    run(r, options(text));
    const Material material = prepare(r);
    const auto trained = load_selected(root() / text).model;
    const double want = count_flops(*trained, r, material, 64).total().sparse();
    const double got = count_settled(r, material, r.sparsify->rules).total().sparse();
    EXPECT_NEAR(got / want, 1, 0.01) << text;  // other heads and units than those that were chosen
  }
}

TEST_F(Settled, TakesHeadsAndUnitsForGoneAsPruningMakesThem) {
  for (const char* text : {"name: heads", "name: layers, method: learned, start: 2",
                           "name: weights, structure: neuron"}) {
    const Recipe r = with(std::string(text) + ", keep: 0.5");
    run(r, options(text));
    prune_run(root() / text, root() / (std::string(text) + " pruned"));
    const auto said =
        nlohmann::json::parse(text_of(root() / (std::string(text) + " pruned") / "prune.json"));
    const Material material = prepare(r);
    const double got = count_settled(r, material, r.sparsify->rules).total().sparse();
    EXPECT_NEAR(got / said["after"]["flops_per_graph"].get<double>(), 1, 0.02) << text;
  }
}

TEST_F(Settled, BudgetsAreMetByTheModelThatIsTrained) {
  for (const std::string& text : kRules) {
    const bool fours = text.find("2:4") != std::string::npos;
    const double flops = text.starts_with("name: weights") ? (fours ? 0.8 : 0.75) : 0.93;
    const bool scored = text.find("scorer") != std::string::npos;
    // Scores of all pairs cost nearly what leaving nodes of such small graphs saves.
    const Recipe r = recipe({"sparsify={flops: " + std::to_string(scored ? 0.99 : flops) +
                             ", rules: [{" + text + ", end: 6}]}"});
    run(r, options(text));
    const auto said = result(text);
    const double left =
        said["sparse_flops_per_graph"].get<double>() / said["flops_per_graph"].get<double>();
    EXPECT_LE(left, (scored ? 0.99 : flops) * 1.01) << text;
  }
}

TEST_F(Settled, TakesTheWeightsThatItIsGiven) {
  const Recipe r = with("name: weights, keep: 0.3, scope: global");
  const Material material = prepare(r);
  const auto weights = models::build(r.model, material.signature);
  models::initialise(*weights, 5);
  const auto model = settled_model(r, material, r.sparsify->rules, weights.get());
  std::int64_t living = 0;
  const NamedTensors given = model_tensors(*weights);
  for (const auto& [name, value] : model_tensors(*model)) {
    const at::Tensor own = value.flatten().to(at::kDouble);
    const at::Tensor from = given.at(name).flatten().to(at::kDouble);
    EXPECT_TRUE(((own == from) | (own == 0)).all().item<bool>()) << name;
    living += (own != 0).sum().item<std::int64_t>();
  }
  EXPECT_GT(living, 0);
}

TEST_F(Settled, IsAsSmallAsTheWeightsThatItIsGiven) {
  run(with("name: heads, keep: 0.5"), options("a"));
  const auto cut = load_selected(root() / "a").model;
  sparsify::compact(*cut);
  const Recipe r = with("name: weights, keep: 0.5, scope: global");
  const auto model = settled_model(r, prepare(r), r.sparsify->rules, cut.get());
  const NamedTensors given = model_tensors(*cut);
  const at::Tensor in = model_tensors(*model).at("layer_0.attention.in_weight");
  EXPECT_LT(in.size(0), 24);
  const at::Tensor from = given.at("layer_0.attention.in_weight");
  ASSERT_EQ(in.sizes(), from.sizes());
  EXPECT_TRUE(((in == from) | (in == 0)).all().item<bool>());
}

TEST_F(Settled, CopiesNoValuesOfAnotherShape) {
  const Recipe r = recipe();
  const Material material = prepare(r);
  const auto whole = build_model(r, material.signature);
  const auto wider = build_model(recipe({"model.width=16"}), material.signature);
  EXPECT_THROW(copy_values(*wider, *whole), c10::Error);
}

}  // namespace
}  // namespace gtrain::train

#include "gtrain/train/origin.h"

#include <ATen/ATen.h>

#include <cmath>
#include <csignal>

#include "gtrain/base/error.h"
#include "gtrain/train/checkpoint.h"
#include "gtrain/train/export_run.h"
#include "gtrain/train/prune_run.h"
#include "train/sample_run.h"

namespace gtrain::train {
namespace {

namespace fs = std::filesystem;

// A run "first" to start from, and runs that begin with its weights.
class TrainedOrigin : public TrainedSample {
 protected:
  TrainedOrigin() { run(recipe({"train.epochs=2", "repeat.seeds=[3]"}), options("first")); }

  std::string first() const { return (root() / "first").string(); }

  // One epoch that changes no weight.
  std::vector<std::string> still(const std::string& init) const {
    return {"train.epochs=1", "train.optimizer={name: sgd, lr: 0}", "init=" + init};
  }

  NamedTensors weights(const std::string& name) const {
    return read_weights(root() / name / "last.safetensors");
  }
  NamedTensors selected(const std::string& name) const {
    return read_weights(root() / name / "best.safetensors");
  }

  std::string refusal(const std::string& init) const {
    try {
      run(recipe(still(init)), options("refused"));
    } catch (const base::RecipeError& e) {
      return e.what();
    }
    return "accepted";
  }
};

bool is_statistic(const std::string& name) { return name.find("running") != std::string::npos; }

TEST_F(TrainedOrigin, GivesARunTheSelectedWeightsOfAnother) {
  run(recipe(still("{from: " + first() + "}")), options("next"));
  const NamedTensors given = selected("first"), got = weights("next");
  ASSERT_EQ(given.size(), got.size());
  for (const auto& [name, tensor] : given) {
    if (is_statistic(name)) continue;
    EXPECT_TRUE(tensor.equal(got.at(name))) << name;
  }
  const auto record = result("next")["init"];
  EXPECT_EQ(record["from"], first());
  EXPECT_EQ(record["tensors"], given.size());
  EXPECT_EQ(record["hash"].get<std::string>().size(), 32u);
  EXPECT_FALSE(result("first").contains("init"));
}

TEST_F(TrainedOrigin, LeavesFreshModulesAsTheSeedDrawsThem) {
  run(recipe({"train.epochs=1", "train.optimizer={name: sgd, lr: 0}"}), options("random"));
  run(recipe(still("{from: " + first() + ", fresh: [head]}")), options("next"));
  const NamedTensors got = weights("next"), random = weights("random"), given = selected("first");
  int heads = 0;
  for (const auto& [name, tensor] : got) {
    if (is_statistic(name)) continue;
    const bool head = name.starts_with("head.");
    heads += head ? 1 : 0;
    EXPECT_TRUE(tensor.equal((head ? random : given).at(name))) << name;
  }
  EXPECT_GT(heads, 1);
}

TEST_F(TrainedOrigin, KeepsFrozenModulesFromChanging) {
  run(recipe({"train.epochs=1", "train.optimizer={name: adamw, lr: 0.1, weight_decay: 0.5}",
              "init={from: " + first() + ", freeze: [layer_0, features]}"}),
      options("next"));
  const NamedTensors given = selected("first"), got = weights("next");
  for (const auto& [name, tensor] : given) {
    if (is_statistic(name)) continue;
    const bool frozen = name.starts_with("layer_0.") || name.starts_with("features.");
    EXPECT_EQ(tensor.equal(got.at(name)), frozen) << name;
  }
}

TEST_F(TrainedOrigin, TakesAnExportedFileToo) {
  const fs::path file = root() / "weights.safetensors";
  ExportRunOptions format;
  format.format = "safetensors";
  export_run(root() / "first", file, format);
  run(recipe(still("{from: " + file.string() + "}")), options("next"));
  const NamedTensors given = selected("first"), got = weights("next");
  for (const auto& [name, tensor] : given) {
    if (is_statistic(name)) continue;
    EXPECT_TRUE(tensor.equal(got.at(name))) << name;
  }
}

TEST_F(TrainedOrigin, RefusesWeightsThatAreNotFinite) {
  Checkpoint state = read_checkpoint(root() / "first/best.safetensors");
  state.model.at("head.linear_0.bias").fill_(std::nan(""));
  const fs::path file = root() / "spoilt.safetensors";
  write_checkpoint(file, state);
  try {
    run(recipe(still("{from: " + file.string() + "}")), options("refused"));
    FAIL() << "accepted";
  } catch (const base::DataError& e) {
    EXPECT_NE(std::string(e.what()).find("head.linear_0.bias holds NaN"), std::string::npos);
  }
  run(recipe(still("{from: " + file.string() + ", fresh: [head]}")), options("next"));
  EXPECT_EQ(result("next")["status"], "ok");
}

TEST_F(TrainedOrigin, NamesTensorsThatDoNotFitWithBothShapes) {
  const auto wider = [&](const std::string& fresh) {
    auto overrides = still("{from: " + first() + fresh + "}");
    overrides.push_back("model.head.layers=2");
    return recipe(overrides);
  };
  try {
    run(wider(""), options("refused"));
    FAIL() << "accepted";
  } catch (const base::RecipeError& e) {
    const std::string what = e.what();
    EXPECT_NE(what.find("do not fit the model"), std::string::npos) << what;
    EXPECT_NE(what.find("shape ["), std::string::npos) << what;
    EXPECT_NE(what.find("not among the weights"), std::string::npos) << what;
    EXPECT_NE(what.find("head."), std::string::npos) << what;
    EXPECT_EQ(what.find("layer_0."), std::string::npos) << what;
  }
  EXPECT_FALSE(fs::exists(root() / "refused"));
  EXPECT_EQ(run(wider(", fresh: [head]"), options("next")).code, base::ExitCode::kOk);
}

TEST_F(TrainedOrigin, RefusesModulesThatTheModelLacksAndNothingLeftToTrain) {
  const std::string from = "{from: " + first();
  EXPECT_NE(refusal(from + ", fresh: [hed]}").find("init.fresh[0]: hed"), std::string::npos);
  EXPECT_NE(refusal(from + ", freeze: [layer_7]}").find("init.freeze[0]: layer_7"),
            std::string::npos);
  // A name is whole parts of a path: "laye" is no module.
  EXPECT_NE(refusal(from + ", freeze: [laye]}").find("init.freeze[0]: laye"), std::string::npos);
  EXPECT_NE(
      refusal(from + ", freeze: [features, layer_0, layer_1, head]}").find("nothing of the model"),
      std::string::npos);
}

TEST_F(TrainedOrigin, ThatIsNotThereIsADataError) {
  EXPECT_THROW(run(recipe(still("{from: nowhere}")), options("refused")), base::DataError);
  EXPECT_THROW(run(recipe(still("{from: " + root().string() + "}")), options("refused")),
               base::DataError);
  EXPECT_FALSE(fs::exists(root() / "refused"));
}

TEST_F(TrainedOrigin, IsNotReadAgainByARunThatGoesOn) {
  const std::vector<std::string> overrides{"train.epochs=3",
                                           "init={from: " + first() + ", freeze: [features]}"};
  run(recipe(overrides), options("whole"));
  std::atomic<int> signal{SIGTERM};
  RunOptions o = options("parts");
  o.interrupt = &signal;
  RunOutcome outcome = run(recipe(overrides), o);
  fs::remove_all(root() / "first");
  for (int i = 0; i < 50 && outcome.code == base::ExitCode::kTerminated; ++i) {
    outcome = resume(root() / "parts", o);
  }
  EXPECT_EQ(outcome.code, base::ExitCode::kOk);
  EXPECT_TRUE(text_of(root() / "whole/last.safetensors") ==
              text_of(root() / "parts/last.safetensors"));
  EXPECT_EQ(result("whole")["init"], result("parts")["init"]);
}

TEST_F(TrainedOrigin, OfADenseRunGivesItsWeightsToAModelWithGates) {
  const std::vector<std::string> rules{"name: heads, keep: 0.5",
                                       "name: heads, keep: 0.5, method: l0, start: 1, end: 3",
                                       "name: layers, keep: 0.5, method: learned, start: 1, end: 3",
                                       "name: tokens, keep: 0.5",
                                       "name: tokens, keep: 0.5, depth: network",
                                       "name: weights, keep: 0.5"};
  for (const std::string& rule : rules) {
    const std::string init = "init={from: " + first() + "}";
    ASSERT_EQ(
        run(recipe({init, "train.epochs=1", "sparsify={rules: [{" + rule + "}]}"}), options(rule))
            .code,
        base::ExitCode::kOk)
        << rule;
    EXPECT_EQ(result(rule)["init"]["tensors"], selected("first").size()) << rule;
  }
}

TEST_F(TrainedOrigin, OfAPrunedRunIsTrainedOnWithRulesAndGoesOnBitForBit) {
  const std::string cut =
      "sparsify={rules: [{name: heads, keep: 0.5}, {name: weights, keep: 0.5, structure: neuron}]}";
  run(recipe({cut, "model.heads=4", "train.epochs=2"}), options("cut"));
  prune_run(root() / "cut", root() / "pruned");
  const std::string init = "init={from: " + (root() / "pruned").string() + "}";
  for (const char* rule :
       {"name: weights, keep: 0.5, start: 2, end: 6", "name: heads, keep: 0.5, start: 2, end: 6"}) {
    const std::vector<std::string> keys{init, "model.heads=4", "train.epochs=2",
                                        "sparsify={rules: [{" + std::string(rule) + "}]}"};
    const std::string whole = std::string(rule) + " whole", parts = std::string(rule) + " parts";
    ASSERT_EQ(run(recipe(keys), options(whole)).code, base::ExitCode::kOk) << rule;
    std::atomic<int> signal{SIGTERM};  // stops after each update
    RunOptions o = options(parts);
    o.interrupt = &signal;
    RunOutcome outcome = run(recipe(keys), o);
    for (int i = 0; i < 20 && outcome.code == base::ExitCode::kTerminated; ++i) {
      outcome = resume(root() / parts, o);
    }
    ASSERT_EQ(outcome.code, base::ExitCode::kOk) << rule;
    EXPECT_TRUE(text_of(root() / whole / "last.safetensors") ==
                text_of(root() / parts / "last.safetensors"))
        << rule;
    EXPECT_EQ(nlohmann::json::parse(evaluate(root() / whole, "test"))["mae"],
              result(whole)["test"]["mae"])
        << rule;
  }
}

TEST_F(TrainedOrigin, AbsentWeightsDoNotKeepADryRunFromLooking) {
  RunOptions o = options("dry");
  o.dry_run = true;
  EXPECT_EQ(run(recipe({"init={from: nowhere, fresh: [head]}"}), o).code, base::ExitCode::kOk);
}

}  // namespace
}  // namespace gtrain::train

#include "train/predict.h"

#include <gmock/gmock.h>

#include "gtrain/base/error.h"
#include "gtrain/train/checkpoint.h"
#include "gtrain/train/export_run.h"
#include "gtrain/train/predict_file.h"
#include "train/sample_run.h"

namespace gtrain::train {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::ThrowsMessage;

class Prediction : public TrainedSample {
 protected:
  // The rings, each with these labels: "1,2" two columns, "1;0" one value in turn.
  fs::path rings(const std::string& name, const std::vector<std::string>& labels) const {
    write_rings(root() / name, 40);
    std::string text;
    for (std::size_t g = 0; g < 40; ++g) text += labels[g % labels.size()] + "\n";
    write_text(root() / name / "raw" / "graph-label.csv.gz", gzip(text));
    return root() / name;
  }

  data::DatasetOptions data_of(const fs::path& folder, const std::string& task,
                               const std::string& metric) const {
    return recipe({"dataset.path=" + folder.string(), "dataset.task=" + task,
                   "dataset.metric=" + metric})
        .dataset;
  }

  void train(const fs::path& folder, const std::string& task, const std::string& metric) const {
    run(recipe({"dataset.path=" + folder.string(), "dataset.task=" + task,
                "dataset.metric=" + metric, "train.epochs=1"}),
        options("a"));
    export_run(root() / "a", root() / "a.pt", {});
  }

  // By the run, by its file, and judged.
  void expect_refused(const data::DatasetOptions& data, const std::string& why) const {
    const fs::path out = root() / "p.csv";
    const auto refuses = ThrowsMessage<base::DataError>(HasSubstr(why));
    EXPECT_THAT([&] { predict(root() / "a", &data, "test", out); }, refuses);
    EXPECT_THAT([&] { evaluate(root() / "a", "test", &data); }, refuses);
    EXPECT_THAT(
        [&] {
          predict_file(
              root() / "a.pt",
              {data.path, {"dataset.task=" + data.task, "dataset.metric=" + data.metric}, "test"},
              out);
        },
        refuses);
    EXPECT_FALSE(fs::exists(out));
  }

  std::vector<std::string> lines(const std::string& name) const {
    std::istringstream in(text_of(root() / name));
    std::vector<std::string> out;
    for (std::string line; std::getline(in, line);) out.push_back(line);
    return out;
  }
};

TEST_F(Prediction, RefusesDataOfAnotherNumberOfOutputs) {
  train(rings("one", {"1.5", "2", "0.5"}), "graph_regression", "mae");
  expect_refused(data_of(rings("three", {"1,2,3", "3,2,1"}), "graph_regression", "mae"),
                 "its task graph_regression asks for 3 outputs; the model has 1");
  expect_refused(data_of(rings("kinds", {"0", "1", "2"}), "graph_class", "acc"),
                 "its task is graph_class; the model was trained for graph_regression");
  expect_refused(data_of(rings("binary", {"0", "1"}), "graph_binary", "rocauc"),
                 "its task is graph_binary; the model was trained for graph_regression");
}

TEST_F(Prediction, TakesDataThatLackSomeOfTheClasses) {
  train(rings("five", {"0", "1", "2", "3", "4"}), "graph_class", "acc");
  expect_refused(data_of(rings("six", {"0", "5"}), "graph_class", "acc"),
                 "asks for 6 outputs; the model has 5");
  const data::DatasetOptions few = data_of(rings("few", {"0", "1", "2"}), "graph_class", "acc");
  const data::DatasetOptions all = recipe({"dataset.path=" + (root() / "five").string(),
                                           "dataset.task=graph_class", "dataset.metric=acc"})
                                       .dataset;
  predict(root() / "a", &few, "test", root() / "few.csv");
  predict(root() / "a", &all, "test", root() / "all.csv");
  EXPECT_EQ(lines("few.csv"), lines("all.csv")) << "the graphs are the same";
  EXPECT_EQ(lines("few.csv").front(), "graph,task0,task1,task2,task3,task4");
  const auto judged = nlohmann::json::parse(evaluate(root() / "a", "test", &few));
  EXPECT_TRUE(judged["acc"].is_number());
  predict_file(root() / "a.pt",
               {few.path, {"dataset.task=graph_class", "dataset.metric=acc"}, "test"},
               root() / "file.csv");
  EXPECT_EQ(lines("file.csv").size(), lines("few.csv").size());
}

TEST_F(Prediction, OfAllGraphsNeedsNoSplits) {
  train(rings("one", {"1.5", "2", "0.5"}), "graph_regression", "mae");
  const data::DatasetOptions plain = data_of(rings("plain", {""}), "graph_regression", "mae");
  fs::remove_all(root() / "plain" / "split");
  predict(root() / "a", &plain, "all", root() / "p.csv");
  EXPECT_EQ(lines("p.csv").size(), 41u);
  predict_file(root() / "a.pt",
               {plain.path, {"dataset.task=graph_regression", "dataset.metric=mae"}, "all"},
               root() / "file.csv");
  EXPECT_EQ(lines("file.csv").size(), 41u);
  EXPECT_THAT([&] { predict(root() / "a", &plain, "test", root() / "q.csv"); },
              ThrowsMessage<base::DataError>(HasSubstr("has no splits")));
}

TEST_F(Prediction, ReadsOtherDataAsItIsTold) {
  train(rings("one", {"1.5"}), "graph_regression", "mae");
  data::DatasetOptions small = data_of(root() / "one", "graph_regression", "mae");
  small.max_nodes = 2;
  EXPECT_THAT([&] { predict(root() / "a", &small, "test", root() / "p.csv"); },
              ThrowsMessage<base::DataError>(HasSubstr("nodes")));
}

TEST_F(Prediction, ALossIsTheSplitsOwnWhateverItsBatchesAre) {
  train(rings("gaps", {"1,nan", "nan,nan", "2,7", "nan,3"}), "graph_regression", "mae");
  const auto loss = [&](int size) {
    data::DatasetOptions data = data_of(root() / "gaps", "graph_regression", "mae");
    data.batch_size = size;
    return nlohmann::json::parse(evaluate(root() / "a", "valid", &data))["loss"].get<double>();
  };
  const double whole = loss(100);
  for (const int size : {1, 3}) EXPECT_NEAR(loss(size), whole, 1e-6 * whole) << size;
}

TEST_F(Prediction, OfSeveralTargetsHasTheScaleOfEach) {
  const fs::path folder = rings("three", {"1,20,3", "3,10,1"});
  const std::vector<std::string> keys{"dataset.path=" + folder.string(), "train.epochs=1"};
  for (const std::string scaling : {"standard", "none"}) {
    std::vector<std::string> all = keys;
    all.push_back("dataset.target_scaling=" + scaling);
    run(recipe(all), options(scaling));
    const LoadedRun loaded = load_run(root() / scaling);
    ASSERT_EQ(loaded.target_mean.numel(), 3);
    ASSERT_EQ(loaded.target_std.numel(), 3);
    EXPECT_NEAR(loaded.target_mean[1].item<double>(), scaling == "none" ? 0 : 15, 2);
    EXPECT_NEAR(loaded.target_std[1].item<double>(), scaling == "none" ? 1 : 5, 0.5);
  }
}

TEST_F(Prediction, WarnsOfWeightsOfOtherNumerics) {
  run(recipe({"train.epochs=1", "select=last"}), options("a"));
  const auto said = [&] {
    testing::internal::CaptureStderr();
    evaluate(root() / "a", "test");
    return testing::internal::GetCapturedStderr();
  };
  EXPECT_EQ(said().find("other numerics"), std::string::npos);
  Checkpoint state = read_checkpoint(root() / "a/last.safetensors");
  state.facts["numerics"] = "2";
  save_generation(root() / "a", state);
  EXPECT_THAT(said(), HasSubstr("other numerics (version 2; this is version"));
  state.facts.erase("numerics");
  save_generation(root() / "a", state);
  EXPECT_THAT(said(), HasSubstr("other numerics (an older one"));
}

TEST_F(Prediction, TakesTheBestStateOfTheRunAndNoOther) {
  for (const char* name : {"a", "b"}) {
    RunOptions o = options(name);
    run(recipe({"select=best", std::string("repeat.seeds=[") + (*name == 'a' ? "0]" : "1]")}), o);
  }
  const fs::path best = root() / "a/best.safetensors";
  ASSERT_TRUE(fs::exists(best));
  evaluate(root() / "a", "test");
  fs::copy_file(root() / "b/best.safetensors", best, fs::copy_options::overwrite_existing);
  const auto evaluated = [&] { evaluate(root() / "a", "test"); };
  EXPECT_THAT(evaluated, ThrowsMessage<base::DataError>(HasSubstr("belongs to another run")));
  fs::remove(best);
  EXPECT_THAT(evaluated, ThrowsMessage<base::DataError>(HasSubstr("best.safetensors: is missing")));
}

TEST_F(Prediction, WarnsOfARecipeThatWasChanged) {
  run(recipe({"select=last"}), options("a"));
  std::string text = text_of(root() / "a/recipe.yaml");
  const auto said = [&] {
    testing::internal::CaptureStderr();
    evaluate(root() / "a", "test");
    return testing::internal::GetCapturedStderr();
  };
  EXPECT_EQ(said().find("is not the recipe"), std::string::npos);
  const std::size_t at = text.find("heads: 2");
  ASSERT_NE(at, std::string::npos);
  write_text(root() / "a/recipe.yaml", text.replace(at, 8, "heads: 4"));
  EXPECT_THAT(said(), HasSubstr("recipe.yaml: is not the recipe that last.safetensors"));
}

TEST_F(Prediction, DoesNotReplaceFilesOfTheRun) {
  train(rings("one", {"1.5"}), "graph_regression", "mae");
  for (const char* name : {"last.safetensors", "recipe.yaml", "redundancy.json"}) {
    EXPECT_THAT([&] { predict(root() / "a", nullptr, "test", root() / "a" / name); },
                ThrowsMessage<base::RecipeError>(HasSubstr("is the run's own")));
    EXPECT_THAT([&] { predict_file(root() / "a.pt", {}, root() / "a" / name); },
                ThrowsMessage<base::RecipeError>(HasSubstr("is the run's own")));
  }
  EXPECT_THAT([&] { predict_file(root() / "a.pt", {}, root() / "." / "a.pt"); },
              ThrowsMessage<base::RecipeError>(HasSubstr("is the exported file")));
}

}  // namespace
}  // namespace gtrain::train

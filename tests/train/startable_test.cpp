#include "gtrain/train/startable.h"

#include "gtrain/base/error.h"
#include "train/sample_run.h"

namespace gtrain::train {
namespace {

namespace fs = std::filesystem;

using Startable = TrainedSample;

// As `validate` does.
std::int64_t checked(const Recipe& recipe) {
  const data::Opened opened = data::open_dataset(recipe.dataset);
  check_data(recipe, opened);
  return check_startable(recipe, opened, {}, true);
}

TEST_F(Startable, WhatCannotBeFinishedIsNotBegun) {
  const std::vector<std::vector<std::string>> wrongs{
      {"repeat.folds=[0, 99]", "dataset.split=''"},
      {"train.schedule={name: cosine, unit: step, warmup: 5000}"},
      {"dataset.max_nodes=6"},
      {"dataset.metric=rocauc"},
      {"train.schedule={name: plateau, metric: foo}"},
      {"train.negatives=2"}};
  for (const std::vector<std::string>& keys : wrongs) {
    SCOPED_TRACE(keys.front());
    const Recipe wrong = recipe(keys);
    EXPECT_THROW(run(wrong, options("a")), base::Error);
    EXPECT_FALSE(fs::exists(root() / "a"));
    EXPECT_THROW(checked(wrong), base::Error);
  }
  EXPECT_GT(checked(recipe()), 0);
}

TEST_F(Startable, SplitsToChooseByAndToReportMayBeEmpty) {
  for (const char* split : {"valid", "test"}) {
    SCOPED_TRACE(split);
    write_text(root() / "rings/split/random" / (std::string(split) + ".csv.gz"), gzip(""));
    EXPECT_EQ(run(recipe({"train.epochs=1"}), options(split)).code, base::ExitCode::kOk);
  }
}

TEST_F(Startable, NodesThatATransformAddsCount) {
  const Recipe wrong = recipe({"dataset.max_nodes=7", "dataset.transform=[{name: virtual_node}]"});
  EXPECT_THROW(run(wrong, options("a")), base::DataError);
  EXPECT_FALSE(fs::exists(root() / "a"));
}

TEST_F(Startable, SplitsToChooseByHaveLabels) {
  std::string text;
  for (int g = 0; g < 40; ++g) text += g % 5 == 3 ? "\n" : "1.5\n";  // valid has none
  write_text(root() / "rings/raw/graph-label.csv.gz", gzip(text));
  EXPECT_THROW(run(recipe(), options("a")), base::DataError);
  EXPECT_FALSE(fs::exists(root() / "a"));
}

}  // namespace
}  // namespace gtrain::train

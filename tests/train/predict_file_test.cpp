#include "gtrain/train/predict_file.h"

#include <gmock/gmock.h>

#include <sstream>

#include "gtrain/base/error.h"
#include "gtrain/train/export_run.h"
#include "train/sample_run.h"

namespace gtrain::train {
namespace {

namespace fs = std::filesystem;

class PredictFile : public TrainedSample {
 protected:
  const std::vector<std::string> overrides_{
      "dataset.target_scaling=standard",
      "encode=[{name: random_walk, steps: 5}, {name: laplacian, count: 4}]",
      "model.encoders=[{of: random_walk, kind: linear, dim: 2},"
      " {of: laplacian, kind: deepset, dim: 2}]"};

  fs::path exported(const std::string& run_name, const std::string& encodings = "inside") const {
    ExportRunOptions o;
    o.encodings = encodings;
    export_run(root() / run_name, root() / "a.pt", o);
    return root() / "a.pt";
  }

  // The same rows, header and places; numbers to rounding.
  void expect_same_rows(const fs::path& got, const fs::path& want) const {
    std::istringstream a(text_of(got)), b(text_of(want));
    std::string left, right, x, y;
    int rows = 0;
    for (; std::getline(b, right); ++rows) {
      ASSERT_TRUE(std::getline(a, left));
      if (rows == 0) {
        ASSERT_EQ(left, right);
        continue;
      }
      std::istringstream p(left), q(right);
      while (std::getline(q, y, ',')) {
        ASSERT_TRUE(std::getline(p, x, ','));
        EXPECT_NEAR(std::stod(x), std::stod(y), 1e-4);
      }
    }
    EXPECT_FALSE(std::getline(a, left));
    EXPECT_GT(rows, 1);
  }

  void expect_as_predict(const std::string& run_name, const fs::path& file) const {
    for (const std::string split : {"test", "all"}) {
      predict(root() / run_name, nullptr, split, root() / "want.csv");
      predict_file(file, {"", {}, split}, root() / "got.csv");
      expect_same_rows(root() / "got.csv", root() / "want.csv");
    }
  }
};

TEST_F(PredictFile, WritesTheRowsOfItsRun) {
  run(recipe(overrides_), options("a"));
  for (const std::string place : {"inside", "input"}) expect_as_predict("a", exported("a", place));
}

TEST_F(PredictFile, WritesTheRowsOfNodeTasksToo) {
  write_one_graph(root() / "one", 50);
  run(recipe({"dataset.path=" + (root() / "one").string(), "dataset.task=node_class",
              "dataset.metric=acc", "model.head={name: node}"}),
      options("a"));
  expect_as_predict("a", exported("a"));
}

TEST_F(PredictFile, TakesOtherDataOfTheSameForm) {
  run(recipe(overrides_), options("a"));
  write_rings(root() / "more", 60);
  const std::vector<std::string> more{"dataset.split=random"};
  predict_file(exported("a"), {(root() / "more").string(), more, "all"}, root() / "got.csv");
  data::DatasetOptions data = recipe(overrides_).dataset;
  data.path = (root() / "more").string();
  predict(root() / "a", &data, "all", root() / "want.csv");
  expect_same_rows(root() / "got.csv", root() / "want.csv");
}

TEST_F(PredictFile, RefusesDataThatDoNotFit) {
  run(recipe(overrides_), options("a"));
  write_one_graph(root() / "one", 50);
  EXPECT_THROW(
      predict_file(
          exported("a"),
          {(root() / "one").string(), {"dataset.task=node_class", "dataset.metric=acc"}, "test"},
          root() / "got.csv"),
      base::DataError);
  EXPECT_FALSE(fs::exists(root() / "got.csv"));
}

TEST_F(PredictFile, RefusesADamagedFileBeforeAnythingElse) {
  run(recipe(overrides_), options("a"));
  std::string bytes = text_of(exported("a"));
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  write_text(root() / "a.pt", bytes);
  EXPECT_THAT([&] { predict_file(root() / "a.pt", {}, root() / "got.csv"); },
              ::testing::ThrowsMessage<base::DataError>(::testing::HasSubstr("has the hash")));
}

TEST_F(PredictFile, WarnsOnceThatTheFileIsCode) {
  run(recipe(overrides_), options("a"));
  const fs::path file = exported("a");
  ::testing::internal::CaptureStderr();
  predict_file(file, {}, root() / "got.csv");
  const std::string said = ::testing::internal::GetCapturedStderr();
  const std::size_t at = said.find("TorchScript is code");
  EXPECT_NE(at, std::string::npos);
  EXPECT_EQ(said.find("TorchScript is code", at + 1), std::string::npos);
}

}  // namespace
}  // namespace gtrain::train

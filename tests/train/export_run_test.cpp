#include "gtrain/train/export_run.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <torch/csrc/jit/serialization/import.h>

#include <numeric>

#include "gtrain/base/error.h"
#include "gtrain/base/safetensors.h"
#include "gtrain/data/batch.h"
#include "gtrain/train/checkpoint.h"
#include "train/sample_run.h"

namespace gtrain::train {
namespace {

namespace fs = std::filesystem;

class ExportRun : public TrainedSample {
 protected:
  const std::vector<std::string> overrides_{
      "dataset.target_scaling=standard",
      "encode=[{name: random_walk, steps: 5}, {name: laplacian, count: 4}]",
      "model.encoders=[{of: random_walk, kind: linear, dim: 2},"
      " {of: laplacian, kind: deepset, dim: 2}]"};

  // Outputs that `predict` wrote, in data set order.
  std::vector<float> predicted(const std::string& run_name) const {
    const fs::path csv = root() / "out.csv";
    predict(root() / run_name, nullptr, "test", csv);
    std::istringstream lines(text_of(csv));
    std::vector<float> out;
    std::string line;
    std::getline(lines, line);
    while (std::getline(lines, line)) out.push_back(std::stof(line.substr(line.find(',') + 1)));
    return out;
  }

  data::GraphBatch test_batch(const std::vector<data::Column>& columns) const {
    const data::Opened opened = data::open_dataset(recipe(overrides_).dataset);
    return data::collate(opened.dataset, columns, opened.dataset.splits.at("random").test);
  }

  ExportRunOptions with(const std::string& format, const std::string& encodings) const {
    ExportRunOptions o;
    o.format = format;
    o.encodings = encodings;
    return o;
  }
};

double difference(const at::Tensor& got, const std::vector<float>& want) {
  const at::Tensor expected = at::tensor(want).unsqueeze(1);
  if (got.sizes() != expected.sizes()) return 1e30;
  return (got - expected).abs().max().item<double>();
}

TEST_F(ExportRun, ModuleGivesWhatPredictWrites) {
  run(recipe(overrides_), options("a"));
  export_run(root() / "a", root() / "a.pt", {});
  torch::jit::Module module = torch::jit::load((root() / "a.pt").string());
  const data::GraphBatch b = test_batch({});
  const at::Tensor got =
      module.forward({b.node, at::stack({b.source, b.target}), b.edge, b.graph}).toTensor();
  EXPECT_LT(difference(got, predicted("a")), 1e-4);  // outputs are about 11
}

TEST_F(ExportRun, EncodingsComeFromOutsideWhereTheyAreInputs) {
  run(recipe(overrides_), options("a"));
  export_run(root() / "a", root() / "a.pt", with("torchscript", "input"));
  torch::jit::Module module = torch::jit::load((root() / "a.pt").string());
  const data::GraphBatch b = test_batch(load_run(root() / "a").encodings);
  const at::Tensor got =
      module
          .forward({b.node, at::stack({b.source, b.target}), b.edge, b.graph,
                    b.encoding.at("random_walk"), b.encoding.at("laplacian.values"),
                    b.encoding.at("laplacian.vectors")})
          .toTensor();
  EXPECT_LT(difference(got, predicted("a")), 1e-4);
}

TEST_F(ExportRun, WeightsStandUnderTheNamesOfTheBestState) {
  run(recipe(overrides_), options("a"));
  export_run(root() / "a", root() / "a.safetensors", with("safetensors", "inside"));
  const base::Safetensors weights = base::read_safetensors(root() / "a.safetensors", true);
  const base::Safetensors best = base::read_safetensors(root() / "a/best.safetensors");
  EXPECT_EQ(weights.tensors.size(), best.tensors.size());
  for (const auto& [name, tensor] : weights.tensors) {
    EXPECT_EQ(tensor.bytes, best.tensors.at(name).bytes) << name;
  }
  EXPECT_THAT(weights.metadata.at("recipe"), ::testing::HasSubstr("name: gps"));
}

TEST_F(ExportRun, ConfigSaysWhatTheWeightsBelongTo) {
  run(recipe(overrides_), options("a"));
  fs::create_directory(root() / "out");
  export_run(root() / "a", root() / "out/a.safetensors", with("safetensors", "inside"));
  const auto config = nlohmann::json::parse(text_of(root() / "out/config.json"));
  EXPECT_EQ(config["weights"], "a.safetensors");
  EXPECT_EQ(config["model"]["name"], "gps");
  EXPECT_EQ(config["model"]["width"], 8);
  EXPECT_EQ(config["model"]["dropout"], 0.1);
  EXPECT_EQ(config["encode"][1]["count"], 4);
  EXPECT_EQ(config["encoding_widths"]["random_walk"], 5);
  EXPECT_EQ(config["scores"]["best_epoch"], result("a")["best_epoch"]);
  EXPECT_EQ(config["target_mean"].size(), 1u);
  const base::Safetensors weights = base::read_safetensors(root() / "out/a.safetensors", true);
  EXPECT_EQ(config["tensors"].size(), weights.tensors.size());
  for (const auto& [name, tensor] : weights.tensors) {
    EXPECT_EQ(config["tensors"][name]["shape"], tensor.shape) << name;
  }
  // Again: ours is replaced, another's is not.
  export_run(root() / "a", root() / "out/a.safetensors", with("safetensors", "inside"));
  EXPECT_THAT(
      [&] {
        export_run(root() / "a", root() / "out/b.safetensors", with("safetensors", "inside"));
      },
      ::testing::ThrowsMessage<base::RecipeError>(
          ::testing::HasSubstr("belongs to a.safetensors")));
  EXPECT_FALSE(fs::exists(root() / "out/b.safetensors"));
  write_text(root() / "out/config.json", "[1, 2]");
  EXPECT_THAT(
      [&] {
        export_run(root() / "a", root() / "out/a.safetensors", with("safetensors", "inside"));
      },
      ::testing::ThrowsMessage<base::RecipeError>(
          ::testing::HasSubstr("belongs to something else")));
  EXPECT_EQ(text_of(root() / "out/config.json"), "[1, 2]");
}

TEST_F(ExportRun, WeightsMayBeBfloat16) {
  run(recipe(overrides_), options("a"));
  ExportRunOptions o = with("safetensors", "inside");
  o.dtype = "bf16";
  export_run(root() / "a", root() / "a.safetensors", o);
  for (const auto& [name, tensor] : base::read_safetensors(root() / "a.safetensors").tensors) {
    EXPECT_EQ(tensor.dtype, "BF16") << name;
  }
}

TEST_F(ExportRun, TheFileTellsScoresAndFlags) {
  run(recipe(overrides_), options("a"));
  ExportRunOptions o;
  o.freeze = true;
  o.dtype = "bf16";
  export_run(root() / "a", root() / "a.pt", o);
  torch::jit::ExtraFilesMap extra{{"gtrain.json", ""}};
  torch::jit::load((root() / "a.pt").string(), at::kCPU, extra);
  const auto json = nlohmann::json::parse(extra.at("gtrain.json"));
  EXPECT_EQ(json["scores"]["test"], result("a")["test"]);
  EXPECT_EQ(json["metric"], "mae");
  EXPECT_EQ(json["frozen"], true);
  EXPECT_EQ(json["dtype"], "bfloat16");
  EXPECT_THAT(json["licence"].get<std::string>(), ::testing::HasSubstr("Apache-2.0"));
}

TEST_F(ExportRun, RefusesWhatCannotBeExportedSo) {
  const auto refused = [&](ExportRunOptions o, const std::string& says) {
    EXPECT_THAT([&] { export_run(root() / "a", root() / "a.pt", o); },
                ::testing::ThrowsMessage<base::RecipeError>(::testing::HasSubstr(says)));
  };
  refused(with("onnx", "inside"), "--format onnx: unknown; known: torchscript, safetensors");
  refused(with("torchscript", "none"), "--encodings none: unknown; known: inside, input");
  ExportRunOptions half;
  half.dtype = "half";
  refused(half, "--dtype half: unknown; known: float32, bf16");
  ExportRunOptions frozen = with("safetensors", "inside");
  frozen.freeze = true;
  refused(frozen, "--freeze: is of modules");
  refused(with("safetensors", "input"), "--encodings: is of modules");
  EXPECT_THROW(export_run(root() / "a", root() / "a.pt", {}), base::DataError);  // no such run
}

TEST_F(ExportRun, TheRunsOwnFilesAreNotReplaced) {
  run(recipe(overrides_), options("a"));
  for (const std::string name : {"best.safetensors", "last.safetensors", "recipe.yaml"}) {
    const std::string before = text_of(root() / "a" / name);
    for (const char* format : {"torchscript", "safetensors"}) {
      EXPECT_THAT([&] { export_run(root() / "a", root() / "a/." / name, with(format, "inside")); },
                  ::testing::ThrowsMessage<base::RecipeError>(
                      ::testing::HasSubstr("is the run's own " + name)));
    }
    EXPECT_EQ(text_of(root() / "a" / name), before);
  }
  EXPECT_THROW(export_run(root() / "a", root() / "config.json", with("safetensors", "inside")),
               base::RecipeError);
  EXPECT_FALSE(fs::exists(root() / "config.json"));
}

}  // namespace
}  // namespace gtrain::train

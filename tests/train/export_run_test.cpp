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

TEST_F(ExportRun, RefusesWhatThisBuildCannotExport) {
  const auto refused = [&](ExportRunOptions o, const std::string& says) {
    EXPECT_THAT([&] { export_run(root() / "a", root() / "a.pt", o); },
                ::testing::ThrowsMessage<base::RecipeError>(::testing::HasSubstr(says)));
  };
  ExportRunOptions fused;
  fused.fused = true;
  refused(fused, "no fused export");
  refused(with("onnx", "inside"), "--format onnx: unknown; known: torchscript, safetensors");
  refused(with("torchscript", "none"), "--encodings none: unknown; known: inside, input");
  EXPECT_THROW(export_run(root() / "a", root() / "a.pt", {}), base::DataError);  // no such run
}

}  // namespace
}  // namespace gtrain::train

#include "gtrain/deploy/export.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/jit/serialization/import.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>

#include "deploy/script_case.h"
#include "gtrain/base/durable.h"
#include "gtrain/base/error.h"
#include "gtrain/deploy/archive.h"
#include "support/temporary_directory.h"

namespace gtrain::deploy {
namespace {

namespace fs = std::filesystem;

// A trained-like model, its batch of odd graphs and what the file has to say of it.
struct Built {
  data::Dataset dataset = categorical_dataset(support::odd_graphs());
  std::vector<encode::EncodingOptions> encodings = all_encodings();
  std::vector<data::Column> columns = compute_all(dataset, encodings);
  models::Signature signature = signature_of(dataset, encodings);
  std::shared_ptr<models::Model> model = random_model(small_gps(), signature);
  ExportSpec spec = spec_of(signature, encodings);

  Built() {
    spec.recipe = "model: {name: gps}\n";
    spec.metric = "mae";
    spec.task = "graph_regression";
    spec.output_names = {"task0"};
    spec.target_mean = {2.5};
    spec.target_deviation = {1.5};
    spec.versions = {{"gtrain", "0"}};
  }
  data::GraphBatch batch() const {
    std::vector<std::int64_t> ids;
    for (std::int64_t g = 0; g < dataset.graphs(); ++g) {
      if (dataset.nodes_of(g) > 0) ids.push_back(g);
    }
    return data::collate(dataset, columns, ids);
  }
};

std::vector<Sample> samples_of(const Built& e) {
  return {sample_of(e.batch(), *e.model, e.spec.encodings)};
}

nlohmann::json list_of(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.to(at::kDouble).contiguous();
  const double* p = flat.const_data_ptr<double>();
  return {{"shape", tensor.sizes().vec()}, {"values", std::vector<double>(p, p + flat.numel())}};
}

TEST(Export, FileLoadsAndGivesTheModelsOutputs) {
  const test::TemporaryDirectory directory;
  const Built e;
  const data::GraphBatch batch = e.batch();
  const fs::path path = directory.path() / "model.pt";
  const Verified verified = export_torchscript(*e.model, e.spec, samples_of(e), path);
  EXPECT_EQ(verified.graphs, batch.graphs);
  EXPECT_LT(verified.difference, 1e-6);

  torch::jit::ExtraFilesMap extra{{"gtrain.json", ""}};
  torch::jit::Module module = torch::jit::load(path.string(), at::kCPU, extra);
  const at::Tensor got = run_script(module, inputs_of(batch));
  const at::Tensor want = run_model(*e.model, batch) * 1.5 + 2.5;
  EXPECT_LT((got - want).abs().max().item<double>(), 1e-5);
  const auto json = nlohmann::json::parse(extra.at("gtrain.json"));
  EXPECT_EQ(json["recipe"], e.spec.recipe);
  EXPECT_EQ(json["metric"], "mae");
  EXPECT_EQ(json["output_names"], nlohmann::json({"task0"}));
  EXPECT_EQ(json["encodings"], "inside");
  EXPECT_EQ(json["inputs"], nlohmann::json({"x", "edge_index", "edge_attr", "batch"}));
  EXPECT_EQ(json["fused"], false);

  // For load_test.py, which asks plain torch the same.
  if (const char* kept = std::getenv("GTRAIN_EXPORT_DIRECTORY")) {
    fs::copy_file(path, fs::path(kept) / "model.pt", fs::copy_options::overwrite_existing);
    nlohmann::json sample{{"output", list_of(want)}};
    const char* names[] = {"x", "edge_index", "edge_attr", "batch"};
    const std::vector<at::Tensor> inputs = inputs_of(batch);
    for (std::size_t i = 0; i < inputs.size(); ++i) sample["input"][names[i]] = list_of(inputs[i]);
    for (const auto& p : e.model->named_parameters()) sample["names"].push_back(p.key());
    for (const auto& p : e.model->named_buffers()) sample["names"].push_back(p.key());
    std::ofstream(fs::path(kept) / "sample.json") << sample.dump();
  }
}

TEST(Export, EncodingsThatAreInputsAreNamed) {
  const test::TemporaryDirectory directory;
  Built e;
  e.spec.encodings = Encodings::kInput;
  const fs::path path = directory.path() / "model.pt";
  EXPECT_LT(export_torchscript(*e.model, e.spec, samples_of(e), path).difference, 1e-6);
  torch::jit::ExtraFilesMap extra{{"gtrain.json", ""}};
  torch::jit::load(path.string(), at::kCPU, extra);
  EXPECT_THAT(nlohmann::json::parse(extra.at("gtrain.json"))["inputs"],
              ::testing::ElementsAre("x", "edge_index", "edge_attr", "batch", "random_walk",
                                     "laplacian_values", "laplacian_vectors", "degree"));
}

TEST(Export, AModelThatDiffersIsRefusedAndNothingIsWritten) {
  const test::TemporaryDirectory directory;
  const Built e;
  data::GraphBatch batch = e.batch();
  batch.encoding.at("random_walk") = batch.encoding.at("random_walk") + 0.1;
  EXPECT_THAT(
      [&] {
        export_torchscript(*e.model, e.spec, {sample_of(batch, *e.model, e.spec.encodings)},
                           directory.path() / "model.pt");
      },
      ::testing::ThrowsMessage<std::runtime_error>(::testing::HasSubstr("was not written")));
  EXPECT_TRUE(fs::is_empty(directory.path()));
}

TEST(Export, AFileOfThatNameStaysWhereTheModelDiffers) {
  const test::TemporaryDirectory directory;
  const Built e;
  const fs::path path = directory.path() / "model.pt";
  std::ofstream(path) << "what was there";
  data::GraphBatch batch = e.batch();
  batch.encoding.at("degree") = batch.encoding.at("degree") + 1;
  EXPECT_THROW(
      export_torchscript(*e.model, e.spec, {sample_of(batch, *e.model, e.spec.encodings)}, path),
      std::runtime_error);
  EXPECT_EQ(base::read_file(path), "what was there");
}

TEST(Export, AFrozenModuleHasNoStateAndGivesTheSame) {
  const test::TemporaryDirectory directory;
  Built e;
  e.spec.frozen = true;
  const fs::path path = directory.path() / "model.pt";
  EXPECT_LT(export_torchscript(*e.model, e.spec, samples_of(e), path).difference, 1e-5);
  torch::jit::ExtraFilesMap extra{{"gtrain.json", ""}};
  const torch::jit::Module module = torch::jit::load(path.string(), at::kCPU, extra);
  EXPECT_EQ(module.named_parameters().size() + module.named_buffers().size(), 0u);
  EXPECT_EQ(nlohmann::json::parse(extra.at("gtrain.json"))["frozen"], true);
}

TEST(Export, Bfloat16HalvesTheWeightsAndLeavesTheModelAsItIs) {
  for (const bool freeze : {false, true}) {
    const test::TemporaryDirectory directory;
    Built e;
    e.spec.dtype = "bfloat16";
    e.spec.frozen = freeze;
    const fs::path path = directory.path() / "model.pt";
    const at::Tensor before = run_model(*e.model, e.batch());
    const Verified verified = export_torchscript(*e.model, e.spec, samples_of(e), path);
    EXPECT_GT(verified.difference, 1e-5);  // or nothing was rounded
    EXPECT_LT(verified.difference, verified.bound);
    EXPECT_TRUE(run_model(*e.model, e.batch()).equal(before));
    torch::jit::Module module = torch::jit::load(path.string());
    for (const auto& p : module.named_parameters()) {
      EXPECT_EQ(p.value.scalar_type(), at::kBFloat16);
    }
    EXPECT_EQ(run_script(module, inputs_of(e.batch())).scalar_type(), at::kFloat);
  }
}

// Options of every branch and form, by name.
std::map<std::string, models::ModelOptions> forms() {
  using namespace models;
  std::map<std::string, ModelOptions> out;
  for (const std::string_view name : nn::local_names()) {
    GpsOptions o = small_gps();
    o.local = name;
    out["local_" + std::string(name)] = o;
  }
  for (const char* name : {"performer", "bigbird", "deep_sets", "none"}) {
    GpsOptions o = small_gps();
    o.global = name;
    out["global_" + std::string(name)] = o;
  }
  GpsOptions o = small_gps();
  o.norm = "layer";
  out["norm_layer"] = o;
  o.encoders = {SignNetEncoderOptions{
      .dim = 5, .phi_layers = 3, .phi_width = 6, .phi_outputs = 4, .quirks = {}}};
  out["signnet"] = o;
  o.encoders = {TransformerEncoderOptions{.dim = 6, .heads = 2, .feed_width = 9}};
  out["transformer"] = o;
  for (const auto& [name, options] : small_mpnns()) out["mpnn_" + name] = options;
  for (const auto& [name, options] : small_graphormers()) {
    if (!name.starts_with("nodes")) out["graphormer_" + name] = options;
  }
  return out;
}

TEST(Export, EveryFormMayBeBfloat16AndFrozen) {
  const test::TemporaryDirectory directory;
  for (const auto& [name, options] : forms()) {
    Built e;
    e.model = random_model(options, e.signature);
    for (const char* dtype : {"float32", "bfloat16"}) {
      e.spec.dtype = dtype;
      e.spec.frozen = true;
      EXPECT_NO_THROW(
          export_torchscript(*e.model, e.spec, samples_of(e), directory.path() / "model.pt"))
          << name << " " << dtype;
    }
  }
}

class Formless final : public nn::Layer {
 public:
  std::string script() const override {
    return "def forward(self):\n    assert False, \"odd: this layer has no exported form\"\n";
  }
};

TEST(Export, ALayerWithoutAnExportedFormIsNamedBeforeAnythingRuns) {
  const Built e;
  e.model->register_module("odd", std::make_shared<Formless>());
  EXPECT_THAT([&] { export_torchscript(*e.model, e.spec, samples_of(e), "model.pt"); },
              ::testing::ThrowsMessage<base::RecipeError>(
                  ::testing::HasSubstr("export: odd: this layer has no exported form; ")));
}

TEST(Export, BuffersOfIntegersStayIntegers) {
  const test::TemporaryDirectory directory;
  Built e;
  e.model->register_buffer("counter", at::full({2}, 1000003, at::kLong));
  e.spec.dtype = "bfloat16";
  const fs::path path = directory.path() / "model.pt";
  export_torchscript(*e.model, e.spec, samples_of(e), path);
  const torch::jit::Module module = torch::jit::load(path.string());
  EXPECT_TRUE(module.attr("counter").toTensor().equal(at::full({2}, 1000003, at::kLong)));
}

TEST(Export, AFlippedBitAnywhereInTheFileIsFound) {
  const test::TemporaryDirectory directory;
  const Built e;
  const fs::path path = directory.path() / "model.pt";
  export_torchscript(*e.model, e.spec, samples_of(e), path);
  const std::string bytes = base::read_file(path);
  for (std::size_t i = 0; i + 100 < bytes.size(); i += bytes.size() / 50) {
    std::string damaged = bytes;
    damaged[i] ^= 4;
    EXPECT_THROW(check_seal(damaged, path), base::DataError) << i;
  }
}

TEST(Export, APathThatIsNoUtf8InTheRecipeIsNoObstacle) {
  const test::TemporaryDirectory directory;
  Built e;
  e.spec.recipe = "dataset: {path: /data/\xff}";
  const fs::path path = directory.path() / "model.pt";
  export_torchscript(*e.model, e.spec, samples_of(e), path);
  torch::jit::ExtraFilesMap extra{{"gtrain.json", ""}};
  torch::jit::load(path.string(), at::kCPU, extra);
  EXPECT_THAT(nlohmann::json::parse(extra.at("gtrain.json"))["recipe"].get<std::string>(),
              ::testing::StartsWith("dataset: {path: /data/"));
}

TEST(Export, AnUnwritableDirectoryIsAResourceError) {
  const Built e;
  EXPECT_THROW(export_torchscript(*e.model, e.spec, samples_of(e), "/nowhere/at/all/model.pt"),
               base::ResourceError);
  EXPECT_THROW(export_torchscript(*e.model, e.spec, samples_of(e), "/"), base::ResourceError);
}

}  // namespace
}  // namespace gtrain::deploy

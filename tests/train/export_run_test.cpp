#include "gtrain/train/export_run.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <torch/csrc/jit/serialization/import.h>

#include <algorithm>
#include <deque>
#include <numeric>

#include "deploy/script_case.h"
#include "gtrain/base/error.h"
#include "gtrain/base/safetensors.h"
#include "gtrain/data/batch.h"
#include "gtrain/deploy/exported.h"
#include "gtrain/sparsify/plan.h"
#include "gtrain/sparsify/sparsity.h"
#include "gtrain/train/checkpoint.h"
#include "gtrain/train/predict_file.h"
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

// Rows of x are only counted, so any columns will do.
TEST_F(ExportRun, AModuleThatMakesItsFeaturesTakesAnyColumns) {
  run(recipe({"dataset.features=degree_onehot", "dataset.degree_cap=8", "train.epochs=1"}),
      options("a"));
  export_run(root() / "a", root() / "a.pt", {});
  EXPECT_EQ(deploy::load_exported(root() / "a.pt").description.signature.node_width,
            deploy::kAnyColumns);
  predict_file(root() / "a.pt", {}, root() / "want.csv");
  write_rings(root() / "wide", 40);
  std::string rows;
  for (int g = 0; g < 40; ++g) {
    for (int i = 0; i < 3 + g % 5; ++i) rows += "1,0,5\n";
  }
  write_text(root() / "wide" / "raw" / "node-feat.csv.gz", gzip(rows));
  predict_file(root() / "a.pt", {(root() / "wide").string(), {}, "test"}, root() / "got.csv");
  EXPECT_EQ(text_of(root() / "got.csv"), text_of(root() / "want.csv"));
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

struct TokenCase {
  std::string name;
  models::ModelOptions options;
  bool nodes = false;
};

// Each attention of the zoo that nodes can leave, in small.
std::vector<TokenCase> token_cases() {
  using namespace models;
  std::vector<TokenCase> out;
  const auto gps = [&](const std::string& name, const std::string& global, const auto& change) {
    GpsOptions o = deploy::small_gps();
    o.global = global;
    change(o);
    out.push_back({name, o, std::holds_alternative<NodeHeadOptions>(o.head)});
  };
  gps("gps", "attention", [](GpsOptions& o) { o.local = "gated_gcn"; });
  gps("gates", "attention", [](GpsOptions& o) { o.encoders.push_back(StableEncoderOptions{}); });
  gps("gps_nodes", "attention", [](GpsOptions& o) {
    o.norm = "layer";
    o.head = NodeHeadOptions{.layers = 1};
  });
  gps("performer", "performer", [](GpsOptions& o) {
    o.performer = nn::PerformerOptions{.head_width = 5, .features = 7};
    o.quirks = {"performer_padded_length"};
  });
  gps("bigbird", "bigbird", [](GpsOptions& o) {
    o.bigbird = nn::BigBirdOptions{.window = 1, .random = 2, .global = 1, .seed = 77};
  });
  gps("biased", "biased", [](GpsOptions& o) {
    o.local = "gat";
    o.bias.emplace();
    o.bias->hops = 3;
  });
  for (const auto& [name, o] : deploy::small_graphormers()) {
    if (o.bias.quirk("port_token_sort")) continue;  // where the token is no one knows
    out.push_back({"graphormer_" + name, o, name.starts_with("nodes")});
  }
  for (const auto& [name, o] : deploy::small_graphtrans()) {
    out.push_back({"graphtrans_" + name, o, name.starts_with("nodes")});
  }
  for (const std::string pattern : {"neighbours", "full"}) {
    GtOptions o;
    o.width = 16;
    o.layers = 2;
    o.heads = 2;
    o.pattern = pattern;
    o.node = CategoricalOptions{};
    if (pattern == "neighbours") o.edge = CategoricalOptions{};
    o.head = HalvingHeadOptions{};
    out.push_back({"gt_" + pattern, o});
  }
  for (const double gamma : {0.0, 0.1}) {
    SanOptions o;
    o.width = 12;
    o.layers = 2;
    o.heads = 3;
    o.gamma = gamma;
    o.node = CategoricalOptions{};
    o.edge = CategoricalOptions{};
    o.head = HalvingHeadOptions{};
    out.push_back({gamma > 0 ? "san" : "san_edges", o});
  }
  return out;
}

// How far a module is from its model on the odd graphs together, in fours and some of them alone.
double token_difference(const TokenCase& c, const sparsify::TokenRule& rule,
                        const deploy::Raw& raw) {
  auto graphs = support::odd_graphs();
  graphs.push_back(support::random_arcs(3, 12, 40));
  data::Dataset dataset = deploy::categorical_dataset(graphs, raw);
  const auto encodings = deploy::all_encodings();
  const auto columns = deploy::compute_all(dataset, encodings);
  models::Signature signature = deploy::signature_of(dataset, encodings);
  if (c.nodes) signature.level = data::Level::kNode;
  sparsify::Options rules;
  rules.rules.emplace_back(rule);
  const auto model = deploy::random_model(
      c.options, signature, [&](models::Model& bare) { sparsify::attach(bare, rules); });
  sparsify::Sparsity(*model, rules, {}).begin(0);
  const at::NoGradGuard guard;
  for (const auto& p : model->named_parameters()) {  // all scores alike
    if (p.key().ends_with("_gate.bias")) p.value().fill_(1000);
  }
  deploy::ExportSpec spec = deploy::spec_of(signature, encodings);
  std::deque<torch::jit::Module> modules;
  modules.push_back(deploy::script_module(*model, spec));
  spec.fused = true;
  if (rule.scorer == "learned") modules.push_back(deploy::script_module(*model, spec));

  std::vector<std::vector<std::int64_t>> batches(1);
  for (std::int64_t id = 0; id < dataset.graphs(); ++id) {
    if (dataset.nodes_of(id) == 0) continue;
    if (batches[0].size() % 4 == 0) batches.emplace_back();
    batches[0].push_back(id);
    batches.back().push_back(id);
  }
  for (std::size_t i = 0; i < batches[0].size(); i += 4) batches.push_back({batches[0][i]});
  double worst = 0;
  for (const auto& ids : batches) {
    const data::GraphBatch batch = data::collate(dataset, columns, ids);
    const at::Tensor want = deploy::run_model(*model, batch);
    for (torch::jit::Module& module : modules) {
      const at::Tensor got = deploy::run_script(module, deploy::inputs_of(batch));
      if (got.sizes() != want.sizes()) return 1e30;
      const double scale = std::max(1.0, want.abs().max().item<double>());
      worst = std::max(worst, (got - want).abs().max().item<double>() / scale);
    }
  }
  return worst;
}

// Also where all nodes have the same columns: those that are symmetric have scores that differ by
// rounding, another one in each batch.
TEST(ExportedTokens, AreTheOnesThatPredictTakesInEveryBatch) {
  const deploy::Raw alike{{1, 1}, {1, 1}};
  for (const TokenCase& c : token_cases()) {
    const bool weights = !c.name.starts_with("gt_") && !c.name.starts_with("san") &&
                         c.name != "performer" && c.name != "bigbird";
    for (const char* depth : {"attention", "network"}) {
      for (const char* scorer : {"learned", "attention", "pagerank"}) {
        if (!weights && std::string(scorer) != "learned") continue;
        SCOPED_TRACE(c.name + ", depth " + depth + ", by " + scorer);
        sparsify::TokenRule rule;
        rule.timing.keep = 0.6;
        rule.depth = depth;
        rule.scorer = scorer;
        if (std::string(scorer) == "pagerank") rule.propagate = 0.5;
        const bool network = rule.depth == "network";
        EXPECT_LT(token_difference(c, rule, network ? alike : deploy::Raw{}), 1e-5);
      }
    }
  }
}

}  // namespace
}  // namespace gtrain::train

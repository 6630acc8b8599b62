#include "gtrain/deploy/script_module.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <numeric>
#include <set>

#include "deploy/script_case.h"
#include "gtrain/deploy/encoding_script.h"
#include "gtrain/deploy/freeze.h"
#include "support/name_page.h"

namespace gtrain::deploy {
namespace {

using data::GraphBatch;

std::vector<std::int64_t> all_ids(const data::Dataset& dataset) {
  std::vector<std::int64_t> ids(static_cast<std::size_t>(dataset.graphs()));
  std::iota(ids.begin(), ids.end(), 0);
  return ids;
}

// Largest difference relative to the size of the outputs.
double difference(const at::Tensor& got, const at::Tensor& want) {
  if (got.sizes() != want.sizes()) return 1e30;
  if (want.numel() == 0) return 0.0;
  EXPECT_TRUE(at::isfinite(want).all().item<bool>());
  const double scale = std::max(1.0, want.abs().max().item<double>());
  return (got - want).abs().max().item<double>() / scale;
}

struct Case {
  std::string name;
  models::ModelOptions options;
  data::Task task = data::Task::kGraphRegression;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

Case gps_case(const std::string& name, const std::function<void(models::GpsOptions&)>& change) {
  models::GpsOptions options = small_gps();
  change(options);
  return {name, options};
}

std::vector<Case> cases() {
  using namespace models;
  std::vector<Case> out;
  out.push_back(gps_case("local_none", [&](GpsOptions& o) { o.local = "none"; }));
  for (const std::string_view name : nn::local_names()) {
    const std::string local(name);
    out.push_back(gps_case("local_" + local, [&](GpsOptions& o) { o.local = local; }));
    if (nn::supports_gates(local)) {
      out.push_back(gps_case("gated_" + local, [&](GpsOptions& o) {
        o.local = local;
        o.encoders.push_back(StableEncoderOptions{});
      }));
    }
    out.push_back(gps_case("only_" + local, [&](GpsOptions& o) {
      o.local = local;
      o.global = "none";
      o.norm = "layer";
      o.activation = "gelu";
    }));
  }
  for (const std::string quirk : {"", "performer_padded_length"}) {
    out.push_back(
        gps_case("global_performer" + (quirk.empty() ? quirk : "_" + quirk), [&](GpsOptions& o) {
          o.global = "performer";
          o.performer = nn::PerformerOptions{.head_width = 5, .features = 7};
          if (!quirk.empty()) o.quirks = {quirk};
        }));
  }
  out.push_back(gps_case("global_bigbird", [](GpsOptions& o) {
    o.global = "bigbird";
    o.bigbird = nn::BigBirdOptions{.window = 1, .random = 2, .global = 1, .seed = 77};
  }));
  for (const std::string quirk : {"", "token_shifted_edges"}) {
    out.push_back(
        gps_case("global_biased" + (quirk.empty() ? quirk : "_" + quirk), [&](GpsOptions& o) {
          o.global = "biased";
          o.bias.emplace();
          o.bias->token = !quirk.empty();
          o.bias->hops = 3;
          if (!quirk.empty()) o.quirks = {quirk};
        }));
  }
  for (const std::string reduce : {"mean", "sum", "max", "min"}) {
    out.push_back(gps_case("global_deep_sets_" + reduce, [&](GpsOptions& o) {
      o.global = "deep_sets";
      o.deep_sets = nn::DeepSetsOptions{.layers = 2, .reduce = reduce};
      o.quirks = {"dsvn_padded_norm"};
    }));
  }
  for (const std::string norm : {"layer", "none"}) {
    out.push_back(gps_case("norm_" + norm, [&](GpsOptions& o) { o.norm = norm; }));
  }
  for (const std::string pool : {"sum", "mean", "max"}) {
    out.push_back(gps_case("halving_" + pool, [&](GpsOptions& o) {
      o.head = HalvingHeadOptions{.layers = 1, .pool = pool};
      o.activation = "gelu";
    }));
    out.push_back(gps_case(
        "mlp_" + pool, [&](GpsOptions& o) { o.head = MlpHeadOptions{.layers = 2, .pool = pool}; }));
  }
  out.push_back(gps_case("no_encoders", [](GpsOptions& o) { o.encoders.clear(); }));
  out.push_back(gps_case("constant_edge", [](GpsOptions& o) {
    o.edge = ConstantOptions{};
    o.node = ConstantOptions{};
  }));
  out.push_back(gps_case("linear", [](GpsOptions& o) {
    o.node = LinearOptions{};
    o.edge = LinearOptions{};
  }));
  out.push_back(gps_case("type_without_edges", [](GpsOptions& o) {
    o.node = TypeOptions{};
    o.edge = NoneOptions{};
    o.local = "gcn";
  }));
  out.push_back(gps_case("encoders_alone", [](GpsOptions& o) {
    o.node = ConstantOptions{};
    o.encoders = {LinearEncoderOptions{.of = "random_walk", .dim = 8, .norm = "none"},
                  DeepSetEncoderOptions{.dim = 8, .layers = 3, .post_layers = 2},
                  MlpEncoderOptions{.of = "random_walk", .dim = 16, .layers = 3, .join = "add"}};
  }));
  for (const std::string kind : {"mlp", "deepset"}) {
    out.push_back(gps_case("signnet_" + kind, [&](GpsOptions& o) {
      o.encoders = {SignNetEncoderOptions{.dim = 5,
                                          .model = kind,
                                          .phi_layers = 3,
                                          .phi_width = 6,
                                          .phi_outputs = 4,
                                          .quirks = {}}};
    }));
  }
  out.push_back(gps_case("eigenvectors", [](GpsOptions& o) {
    o.encoders = {EigenvectorEncoderOptions{.dim = 16, .norm = "batch"},
                  DeepSetEncoderOptions{.dim = 3, .norm = "batch"}};
  }));
  for (const std::string norm : {"batch", "none"}) {
    out.push_back(gps_case("transformer_" + norm, [&](GpsOptions& o) {
      o.encoders = {TransformerEncoderOptions{
          .dim = 6, .heads = 2, .feed_width = 9, .post_layers = 1, .norm = norm}};
    }));
  }
  out.push_back(gps_case("clamped_tables", [](GpsOptions& o) {
    o.node = CategoricalOptions{.counts = {4, 3}, .clamp = true, .init = "normal"};
  }));
  for (const std::string pool : {"mean", "min"}) {
    out.push_back(gps_case("graphormer_" + pool,
                           [&](GpsOptions& o) { o.head = GraphormerHeadOptions{pool}; }));
  }
  Case node = gps_case("node", [](GpsOptions& o) { o.head = NodeHeadOptions{.layers = 2}; });
  node.task = data::Task::kNodeRegression;
  out.push_back(node);
  return out;
}

std::vector<Case> gt_cases() {
  using namespace models;
  std::vector<Case> out;
  for (const std::string pattern : {"neighbours", "full"}) {
    for (const bool edges : {true, false}) {
      GtOptions o;
      o.width = 16;
      o.layers = 2;
      o.heads = 2;
      o.pattern = pattern;
      o.node = CategoricalOptions{};
      EigenvectorEncoderOptions vectors;
      vectors.dim = 16;
      o.encoders = {vectors};
      o.head = HalvingHeadOptions{2, edges ? "mean" : "none"};
      if (edges) {
        o.edge = CategoricalOptions{};
      } else {
        o.edge = NoneOptions{};
        o.norm = "layer";
        o.residual = false;
        o.bias = true;
      }
      out.push_back({pattern + (edges ? "_edges" : "_alone"), o,
                     edges ? data::Task::kGraphRegression : data::Task::kNodeRegression});
    }
  }
  EmbeddingEncoderOptions degrees;
  degrees.of = "degree";
  degrees.dim = 16;
  degrees.count = 3;
  out[0].options.get_if<GtOptions>()->encoders.push_back(degrees);
  return out;
}

std::vector<Case> san_cases() {
  using namespace models;
  std::vector<Case> out;
  const std::vector<std::pair<std::string, double>> weights{
      {"edges", 0.0}, {"others_little", 1e-3}, {"others_most", 2.0}};
  for (const auto& [name, gamma] : weights) {
    SanOptions o;
    o.width = 12;
    o.layers = 2;
    o.heads = 3;
    o.gamma = gamma;
    o.norm = gamma > 1 ? "layer" : "batch";
    o.residual = o.bias = gamma > 1;
    o.node = CategoricalOptions{};
    o.edge = CategoricalOptions{};
    TransformerEncoderOptions positions;
    positions.dim = 4;
    positions.feed_width = 8;
    o.encoders = {positions};
    o.head = HalvingHeadOptions{2, "sum"};
    out.push_back({name, o});
  }
  return out;
}

std::vector<Case> mpnn_cases() {
  std::vector<Case> out;
  for (const auto& [name, options] : small_mpnns()) out.push_back({name, options});
  return out;
}

std::vector<Case> graphormer_cases() {
  std::vector<Case> out;
  for (const auto& [name, options] : small_graphormers()) {
    const bool nodes = name.starts_with("nodes");
    out.push_back(
        {name, options, nodes ? data::Task::kNodeRegression : data::Task::kGraphRegression});
  }
  return out;
}

std::vector<Case> graphtrans_cases() {
  std::vector<Case> out;
  for (const auto& [name, options] : small_graphtrans()) {
    const bool nodes = name.starts_with("nodes");
    out.push_back(
        {name, options, nodes ? data::Task::kNodeRegression : data::Task::kGraphRegression});
  }
  return out;
}

class ScriptModule : public ::testing::TestWithParam<Case> {};

TEST_P(ScriptModule, GivesTheModelsOutputsOnOddGraphsOneByOneAndTogether) {
  auto graphs = support::odd_graphs();
  graphs.push_back(support::random_arcs(3, 12, 40));
  data::Dataset dataset = categorical_dataset(graphs);
  dataset.info.task = GetParam().task;
  if (dataset.info.task == data::Task::kNodeRegression) {
    dataset.labels = data::make_column<float>("y", data::Per::kNode, dataset.nodes(), 1).column;
  }
  const auto encodings = all_encodings();
  const auto columns = compute_all(dataset, encodings);
  const models::Signature signature = signature_of(dataset, encodings);
  const auto model = random_model(GetParam().options, signature);
  ExportSpec spec = spec_of(signature, encodings);
  torch::jit::Module plain = script_module(*model, spec);
  spec.fused = true;
  torch::jit::Module fused = script_module(*model, spec);
  torch::jit::Module folded = frozen(fused);
  const auto worst = [&](const GraphBatch& batch) {
    const at::Tensor want = run_model(*model, batch);
    std::vector<at::Tensor> inputs = inputs_of(batch);
    const double first = difference(run_script(plain, inputs), want);
    inputs[1] = inputs[1].flip(1);  // repeated edges too
    inputs[2] = inputs[2].flip(0);
    return std::max({first, difference(run_script(plain, inputs), want),
                     difference(run_script(fused, inputs), want)});
  };
  std::vector<std::int64_t> ids = all_ids(dataset);
  ids.push_back(0);                                      // ends with a graph without nodes
  std::rotate(ids.begin(), ids.begin() + 3, ids.end());  // … and has one within
  const GraphBatch all = data::collate(dataset, columns, ids);
  EXPECT_LT(worst(all), 1e-5);
  EXPECT_LT(difference(run_script(folded, inputs_of(all)), run_model(*model, all)), 2e-5);
  for (const std::int64_t id : all_ids(dataset)) {
    if (dataset.nodes_of(id) == 0) continue;
    const std::vector<std::int64_t> one{id};
    const GraphBatch batch = data::collate(dataset, columns, one);
    EXPECT_LT(worst(batch), 1e-5) << graphs[static_cast<std::size_t>(id)].name;
  }
}

INSTANTIATE_TEST_SUITE_P(Graphormer, ScriptModule, ::testing::ValuesIn(graphormer_cases()),
                         [](const auto& test) { return test.param.name; });
INSTANTIATE_TEST_SUITE_P(GraphTrans, ScriptModule, ::testing::ValuesIn(graphtrans_cases()),
                         [](const auto& test) { return test.param.name; });
INSTANTIATE_TEST_SUITE_P(Gt, ScriptModule, ::testing::ValuesIn(gt_cases()),
                         [](const auto& test) { return test.param.name; });

INSTANTIATE_TEST_SUITE_P(Gps, ScriptModule, ::testing::ValuesIn(cases()),
                         [](const auto& test) { return test.param.name; });
INSTANTIATE_TEST_SUITE_P(Mpnn, ScriptModule, ::testing::ValuesIn(mpnn_cases()),
                         [](const auto& test) { return test.param.name; });
INSTANTIATE_TEST_SUITE_P(San, ScriptModule, ::testing::ValuesIn(san_cases()),
                         [](const auto& test) { return test.param.name; });

struct Built {
  data::Dataset dataset;
  std::vector<encode::EncodingOptions> encodings = all_encodings();
  std::vector<data::Column> columns;
  models::Signature signature;
  std::shared_ptr<models::Model> model;

  explicit Built(const std::vector<support::OddGraph>& graphs)
      : dataset(categorical_dataset(graphs)),
        columns(compute_all(dataset, encodings)),
        signature(signature_of(dataset, encodings)),
        model(random_model(small_gps(), signature)) {}
  ExportSpec spec() const { return spec_of(signature, encodings); }
  GraphBatch batch() const { return data::collate(dataset, columns, all_ids(dataset)); }
};

TEST(ScriptModuleNames, AreThoseOfTheModelsTensors) {
  const Built b({support::path(3)});
  const torch::jit::Module module = script_module(*b.model, b.spec());
  std::vector<std::string> want, got;
  for (const auto& p : b.model->named_parameters()) want.push_back(p.key());
  for (const auto& p : b.model->named_buffers()) want.push_back(p.key());
  for (const auto& p : module.named_parameters()) got.push_back(p.name);
  for (const auto& p : module.named_buffers()) got.push_back(p.name);
  EXPECT_THAT(got, ::testing::UnorderedElementsAreArray(want));
  for (const auto& m : module.named_modules()) EXPECT_FALSE(m.value.is_training()) << m.name;
}

TEST(ScriptModuleNames, StandOnThePageOfParameters) {
  const support::NamePage page(GTRAIN_SOURCE_DIR "/docs/parameters.md");
  const auto encodings = all_encodings();
  std::set<std::string> missing;
  const std::vector<std::vector<Case>> families{
      cases(), gt_cases(), san_cases(), mpnn_cases(), graphormer_cases(), graphtrans_cases()};
  for (const std::vector<Case>& family : families) {
    for (const Case& c : family) {
      data::Dataset dataset = categorical_dataset({support::path(3)});
      dataset.info.task = c.task;
      const auto model = random_model(c.options, signature_of(dataset, encodings));
      for (const auto& p : model->named_parameters()) {
        if (!page.has(p.key())) missing.insert(p.key());
      }
      for (const auto& p : model->named_buffers()) {
        if (!page.has(p.key())) missing.insert(p.key());
      }
    }
  }
  EXPECT_THAT(missing, ::testing::IsEmpty());
}

TEST(ScriptModuleInput, IdsMaySkipGraphs) {
  const Built b({support::path(4), support::cycle(5)});
  torch::jit::Module module = script_module(*b.model, b.spec());
  std::vector<at::Tensor> inputs = inputs_of(b.batch());
  const at::Tensor packed = run_script(module, inputs);
  inputs[3] = inputs[3] * 2 + 1;  // graphs 1 and 3
  const at::Tensor gaps = run_script(module, inputs);
  ASSERT_EQ(gaps.size(0), 4);
  EXPECT_LT(difference(gaps.index_select(0, at::tensor({1, 3})), packed), 1e-6);
}

TEST(ScriptModuleInput, EncodingsMayComeFromOutside) {
  const Built b({support::path(4), support::two_components(), support::edgeless(1)});
  ExportSpec spec = b.spec();
  spec.encodings = Encodings::kInput;
  torch::jit::Module module = script_module(*b.model, spec);
  const GraphBatch batch = b.batch();
  std::vector<at::Tensor> inputs = inputs_of(batch);
  for (const char* column : {"random_walk", "laplacian.values", "laplacian.vectors", "degree"}) {
    inputs.push_back(batch.encoding.at(column));
  }
  EXPECT_LT(difference(run_script(module, inputs), run_model(*b.model, batch)), 1e-5);
  inputs[4] = inputs[4].slice(1, 1);
  EXPECT_THAT([&] { run_script(module, inputs); },
              ::testing::ThrowsMessage<std::exception>(
                  ::testing::HasSubstr("random_walk: has shape [14, 6]; expected [14, 7]")));
}

TEST(ScriptModuleInput, EncodingsOfPairsMayComeFromOutside) {
  Built b({support::path(4), support::two_components(), support::edgeless(1)});
  b.model = random_model(small_graphormers().at("paths"), b.signature);
  ExportSpec spec = b.spec();
  spec.encodings = Encodings::kInput;
  torch::jit::Module module = script_module(*b.model, spec);
  const GraphBatch batch = b.batch();
  std::vector<at::Tensor> inputs = inputs_of(batch);
  for (const std::string& column : encoding_arguments(*b.model)) {
    inputs.push_back(batch.encoding.at(column));
  }
  ASSERT_EQ(inputs.size(), 7u);
  EXPECT_LT(difference(run_script(module, inputs), run_model(*b.model, batch)), 1e-5);
  inputs[5] = inputs[5].slice(0, 1);
  EXPECT_THAT([&] { run_script(module, inputs); },
              ::testing::ThrowsMessage<std::exception>(
                  ::testing::HasSubstr("1], a row for each pair of nodes of a graph")));
}

TEST(ScriptModuleOutput, OfPairsIsThatOfTheModel) {
  for (const std::string decode : {"dot", "concat"}) {
    Built b({support::path(4), support::cycle(5)});
    b.signature.level = data::Level::kEdge;
    models::GpsOptions options = small_gps();
    options.head = models::EdgeHeadOptions{2, decode};
    b.model = random_model(options, b.signature);
    torch::jit::Module module = script_module(*b.model, b.spec());
    GraphBatch batch = b.batch();
    batch.pair = at::tensor({0, 3, 8, 4, 2, 2}, at::kLong).view({3, 2});
    std::vector<at::Tensor> inputs = inputs_of(batch);
    inputs.push_back(batch.pair.t());
    const at::Tensor want = run_model(*b.model, batch);
    ASSERT_EQ(want.sizes(), (std::vector<std::int64_t>{3, 1}));
    EXPECT_LT(difference(run_script(module, inputs), want), 1e-5);
    inputs[4] = inputs[4] + 1;
    EXPECT_THAT([&] { run_script(module, inputs); },
                ::testing::ThrowsMessage<std::exception>(
                    ::testing::HasSubstr("pairs: has the ends 1 to 9; expected 0 to 8")));
    inputs[4] = at::tensor({0, 8}, at::kLong).view({2, 1});
    EXPECT_THAT([&] { run_script(module, inputs); },
                ::testing::ThrowsMessage<std::exception>(
                    ::testing::HasSubstr("pairs: has a pair of nodes of two graphs")));
  }
}

TEST(ScriptModuleOutput, IsInTheUnitsOfTheTargets) {
  const Built b({support::path(4), support::cycle(5)});
  ExportSpec spec = b.spec();
  spec.target_mean = {-3.5};
  spec.target_deviation = {1.0 / 3.0};
  torch::jit::Module module = script_module(*b.model, spec);
  const GraphBatch batch = b.batch();
  EXPECT_LT(difference(run_script(module, inputs_of(batch)), run_model(*b.model, batch) / 3 - 3.5),
            1e-6);
}

TEST(ScriptModuleInput, GraphsAboveTheDenseLimitAreRefusedByName) {
  const Built b({support::path(4)});
  torch::jit::Module module = script_module(*b.model, b.spec());
  const std::int64_t n = kDenseNodes + 1;
  const std::vector<at::Tensor> inputs{at::zeros({n, 2}, at::kLong), at::zeros({2, 0}, at::kLong),
                                       at::zeros({0, 2}, at::kLong), at::zeros({n}, at::kLong)};
  EXPECT_THAT([&] { run_script(module, inputs); },
              ::testing::ThrowsMessage<std::exception>(
                  ::testing::HasSubstr("export with --encodings input")));
}

}  // namespace
}  // namespace gtrain::deploy

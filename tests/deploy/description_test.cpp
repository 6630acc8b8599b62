#include "gtrain/deploy/description.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "deploy/script_case.h"
#include "gtrain/base/error.h"
#include "gtrain/deploy/encoding_script.h"

namespace gtrain::deploy {
namespace {

using nlohmann::json;

struct Built {
  data::Dataset dataset = categorical_dataset({support::path(4)});
  std::vector<encode::EncodingOptions> encodings = all_encodings();
  models::Signature signature = signature_of(dataset, encodings);
  std::shared_ptr<models::Model> model = random_model(small_gps(), signature);
  ExportSpec spec = spec_of(signature, encodings);

  json described() const { return json::parse(description(*model, spec)); }
};

TEST(Description, SaysWhatTheFileIs) {
  Built b;
  b.spec.task = "graph_regression";
  b.spec.scores = R"({"best_epoch": 3, "test": {"mae": 0.5}})";
  b.spec.licence = "a note";
  const json j = b.described();
  EXPECT_EQ(j["format"], 1);
  EXPECT_EQ(j["level"], "graph");
  EXPECT_EQ(j["scores"]["test"]["mae"], 0.5);
  EXPECT_EQ(j["columns"]["node_categories"], json({7, 5}));
  EXPECT_EQ(j["columns"]["edge"], 2);
  EXPECT_EQ(j["dense_nodes"], kDenseNodes);
  EXPECT_EQ(j["dtype"], "float32");
  EXPECT_EQ(j["fused"], false);
  EXPECT_EQ(j["frozen"], false);
  EXPECT_EQ(j["licence"], "a note");
  EXPECT_EQ(j["parameters"], models::parameter_count(*b.model));
  EXPECT_EQ(j["weights_xxh3"], weight_hash(*b.model));
}

TEST(Description, HasNoLimitAndNoScoresWhereThereAreNone) {
  Built b;
  EXPECT_TRUE(b.described()["scores"].is_null());
  b.spec.encodings = Encodings::kInput;
  EXPECT_TRUE(b.described()["dense_nodes"].is_null());
  models::GpsOptions o = small_gps();
  o.encoders = {models::MlpEncoderOptions{.of = "degree", .dim = 16, .join = "add"}};
  b.model = random_model(o, b.signature);
  b.spec.encodings = Encodings::kInside;
  EXPECT_TRUE(b.described()["dense_nodes"].is_null());
}

TEST(Description, IsReadBack) {
  Built b;
  b.spec.recipe = "model: {name: gps}\n";
  b.spec.encodings = Encodings::kInput;
  const Description d = parse_description(description(*b.model, b.spec), "f.pt");
  EXPECT_EQ(d.recipe, b.spec.recipe);
  EXPECT_EQ(d.encodings, Encodings::kInput);
  EXPECT_EQ(d.inputs.size(), 8u);
  EXPECT_EQ(d.inputs[5], "laplacian_values");
  EXPECT_EQ(d.signature.node_categories, b.signature.node_categories);
  EXPECT_EQ(d.signature.edge_width, 2);
  EXPECT_EQ(d.signature.level, data::Level::kGraph);
}

TEST(Description, OfAModuleThatOnlyCountsTheRowsOfXTakesAnyColumns) {
  Built b;
  b.spec.features.name = "constant";
  EXPECT_TRUE(b.described()["columns"]["node"].is_null());
  const Description d = parse_description(description(*b.model, b.spec), "f.pt");
  EXPECT_EQ(d.signature.node_width, kAnyColumns);
}

TEST(Description, OfAnotherProgramIsRefusedByName) {
  const Built b;
  json other = b.described();
  other["format"] = 2;
  json missing = b.described();
  missing.erase("columns");
  json strange = b.described();
  strange["level"] = "planet";
  for (const std::string& text : {std::string(), std::string("{}"), std::string("[1"), other.dump(),
                                  missing.dump(), strange.dump()}) {
    EXPECT_THAT([&] { parse_description(text, "some/f.pt"); },
                ::testing::ThrowsMessage<base::DataError>(
                    ::testing::StartsWith("some/f.pt: its gtrain.json cannot be read")))
        << text;
  }
}

TEST(WeightHash, ChangesWithEveryBitOfTheState) {
  const Built b;
  const std::string before = weight_hash(*b.model);
  EXPECT_EQ(before, weight_hash(*b.model));
  const at::NoGradGuard guard;
  for (const at::Tensor& t : {b.model->parameters().back(), b.model->buffers().front()}) {
    const at::Tensor kept = t.clone();
    t.view({-1})[0] += 1e-3;
    EXPECT_NE(weight_hash(*b.model), before);
    t.copy_(kept);
  }
  EXPECT_EQ(weight_hash(*b.model), before);
}

}  // namespace
}  // namespace gtrain::deploy

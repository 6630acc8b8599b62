#include "gtrain/models/feature_encoder.h"

#include "gtrain/base/error.h"
#include "models/sample.h"

namespace gtrain::models {
namespace {

FeatureEncoder make(const GpsOptions& o, const Signature& s = sample::signature()) {
  return FeatureEncoder(o.node, o.edge, o.encoders, o.width, s);
}

TEST(FeatureEncoder, ConcatenatedEncodersTakeTheirShareOfTheWidth) {
  FeatureEncoder features = make(sample::options());
  EXPECT_EQ(features.named_parameters()["node.column_0"].size(1), 8);
  nn::Context c = support::context(true);
  const data::GraphBatch b = sample::batch({support::path(4), support::edgeless(1)});
  EXPECT_EQ(features.nodes(b, c).sizes(), (std::vector<std::int64_t>{5, 16}));
  EXPECT_EQ(features.edges(b).sizes(), (std::vector<std::int64_t>{6, 16}));
}

TEST(FeatureEncoder, AddedEncodersLeaveTheWidth) {
  GpsOptions o = sample::options();
  LinearEncoderOptions walk;
  walk.dim = 16;
  walk.join = "add";
  o.encoders = {walk};
  FeatureEncoder features = make(o);
  EXPECT_EQ(features.named_parameters()["node.column_0"].size(1), 16);
}

TEST(FeatureEncoder, RefusesWhatDoesNotFitTheData) {
  const auto refused = [](GpsOptions o, const Signature& s, const std::string& part) {
    try {
      make(o, s);
      ADD_FAILURE() << "accepted; expected a message with " << part;
    } catch (const base::RecipeError& e) {
      EXPECT_NE(std::string(e.what()).find(part), std::string::npos) << e.what();
    }
  };
  Signature floats = sample::signature();
  floats.node_categories.clear();
  refused(sample::options(), floats, "model.node");
  Signature bare = sample::signature();
  bare.encodings.erase("laplacian");
  refused(sample::options(), bare, "model.encoders[1].of");
  GpsOptions wide = sample::options();
  std::get<LinearEncoderOptions>(wide.encoders[0]).dim = 13;
  refused(wide, sample::signature(), "model.encoders");
  GpsOptions full = sample::options();
  std::get<LinearEncoderOptions>(full.encoders[0]).dim += 8;
  refused(full, sample::signature(), "nothing is left for the node columns");
  full.node = ConstantOptions{};
  EXPECT_NO_THROW(make(full));
  GpsOptions few = sample::options();
  few.node = TypeOptions{3};
  refused(few, sample::signature(), "model.node.count");
}

TEST(FeatureEncoder, GatesReadPositionsThatNoNodeVectorHolds) {
  GpsOptions o = sample::options();
  o.encoders = {StableEncoderOptions{}};
  FeatureEncoder features = make(o);
  EXPECT_TRUE(features.has_positions());
  EXPECT_EQ(features.named_parameters()["node.column_0"].size(1), 16);
  features.to(at::kDouble);
  nn::Context c = support::context(true);
  const data::GraphBatch b = sample::batch({support::path(4), support::edgeless(1)});
  EXPECT_EQ(features.positions(b, c).sizes(), (std::vector<std::int64_t>{5, 16}));
  FeatureEncoder plain = make(sample::options());
  plain.to(at::kDouble);
  EXPECT_FALSE(plain.positions(b, c).defined());
  o.encoders = {StableEncoderOptions{}, StableEncoderOptions{}};
  EXPECT_THROW(make(o), base::RecipeError);
}

TEST(FeatureEncoder, AddsThePerturbationToTheNodeVectors) {
  FeatureEncoder features = make(sample::options());
  features.to(at::kDouble);
  const data::GraphBatch b = sample::batch({support::path(4)});
  nn::Context plain = support::context(false), pushed = support::context(false);
  pushed.perturbation = at::randn({4, 16}, at::kDouble);
  EXPECT_LT(
      support::distance(features.nodes(b, pushed), features.nodes(b, plain) + pushed.perturbation),
      1e-14);
}

TEST(FeatureEncoder, EdgesMayHaveAWidthOfTheirOwn) {
  const GpsOptions o = sample::options();
  FeatureEncoder features(o.node, o.edge, o.encoders, o.width, sample::signature(), 5);
  EXPECT_EQ(features.edges(sample::batch({support::path(3)})).size(1), 5);
}

TEST(FeatureEncoder, IdleEdgesAreParametersAndNoVectors) {
  GpsOptions o = sample::options();
  o.edge = IdleOptions{};
  FeatureEncoder features = make(o);
  EXPECT_EQ(features.named_parameters()["idle_edge.column_0"].sizes(),
            (std::vector<std::int64_t>{4, 16}));
  EXPECT_FALSE(features.edges(sample::batch({support::path(3)})).defined());
}

// GELU is below 0 where ReLU is 0.
TEST(MakeHead, HiddenLayersOfGraphGymsHeadsAreRectifiedInAnyModel) {
  Signature s = sample::signature();
  const at::Tensor x = at::randn({5, 16}), start = at::tensor({0, 5}, at::kLong);
  const auto outputs = [&](const HeadOptions& options, const std::string& activation) {
    const auto head = make_head(options, 16, activation, s);
    support::ready(head)->to(at::kFloat);
    return head->forward(x, {start, {}});
  };
  EXPECT_TRUE(support::same_bits(outputs(MlpHeadOptions{2, "mean"}, "gelu"),
                                 outputs(MlpHeadOptions{2, "mean"}, "relu")));
  EXPECT_FALSE(support::same_bits(outputs(WideHeadOptions{2, "mean", 0.0}, "gelu"),
                                  outputs(WideHeadOptions{2, "mean", 0.0}, "relu")));
  s.level = data::Level::kNode;
  EXPECT_TRUE(
      support::same_bits(outputs(NodeHeadOptions{3}, "gelu"), outputs(NodeHeadOptions{3}, "relu")));
}

TEST(MakeHead, RefusesToHalveAWidthAway) {
  EXPECT_NO_THROW(make_head(HalvingHeadOptions{4, "mean"}, 16, "relu", sample::signature()));
  EXPECT_THROW(make_head(HalvingHeadOptions{5, "mean"}, 16, "relu", sample::signature()),
               base::RecipeError);
}

TEST(MakeHead, RefusesAHeadOfAnotherLevel) {
  Signature s = sample::signature();
  EXPECT_THROW(make_head(NodeHeadOptions{}, 16, "relu", s), base::RecipeError);
  s.level = data::Level::kNode;
  EXPECT_THROW(make_head(HalvingHeadOptions{}, 16, "relu", s), base::RecipeError);
  EXPECT_NO_THROW(make_head(NodeHeadOptions{}, 16, "relu", s));
  EXPECT_THROW(make_head(EdgeHeadOptions{}, 16, "relu", s), base::RecipeError);
  s.level = data::Level::kEdge;
  EXPECT_THROW(make_head(EdgeHeadOptions{}, 16, "relu", s), base::RecipeError);  // two columns
  EXPECT_NO_THROW(make_head(EdgeHeadOptions{1, "concat"}, 16, "relu", s));
}

}  // namespace
}  // namespace gtrain::models

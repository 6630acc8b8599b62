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
  GpsOptions few = sample::options();
  few.node = TypeOptions{3};
  refused(few, sample::signature(), "model.node.count");
}

TEST(MakeHead, RefusesAHeadOfAnotherLevel) {
  Signature s = sample::signature();
  EXPECT_THROW(make_head(NodeHeadOptions{}, 16, "relu", s), base::RecipeError);
  s.level = data::Level::kNode;
  EXPECT_THROW(make_head(HalvingHeadOptions{}, 16, "relu", s), base::RecipeError);
  EXPECT_NO_THROW(make_head(NodeHeadOptions{}, 16, "relu", s));
}

}  // namespace
}  // namespace gtrain::models

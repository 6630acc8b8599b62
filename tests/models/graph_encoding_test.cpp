#include "gtrain/models/graph_encoding.h"

#include "models/sample.h"

namespace gtrain::models {
namespace {

std::shared_ptr<GraphEncoding> made(std::int64_t degrees) {
  nn::GraphBiasOptions o;
  o.path = "none";
  Signature s = sample::signature();
  s.encodings["degree"] = 2;
  s.encodings["hop_distance"] = 1;
  return support::ready(
      std::make_shared<GraphEncoding>(o, EncodingWidths{degrees, 6, 2}, s, "bias"));
}

data::GraphBatch two_edges() {
  data::GraphBatch b = sample::batch({support::path(2), support::path(2)});
  b.encoding["hop_distance"] = at::tensor({0, 1, 1, 0, 0, 1, 1, 0}, at::kByte);
  b.encoding["degree"] = at::ones({4, 2}, at::kLong);
  return b;
}

TEST(GraphEncoding, AddsDegreesToLeadingChannelsAndTokensInFront) {
  const auto layer = made(4);
  const data::GraphBatch b = two_edges();
  const auto out = layer->forward(at::zeros({4, 6}, at::kDouble), b);
  EXPECT_EQ(out.x.size(0), 6);
  EXPECT_GT(out.x[1].slice(0, 0, 4).abs().min().item<double>(), 0.0);
  EXPECT_EQ(out.x[1].slice(0, 4).abs().max().item<double>(), 0.0);
  EXPECT_EQ(layer->without_tokens(out.x, b).size(0), 4);
}

TEST(GraphEncoding, EdgesFollowTheirNodesUnlessToldToKeepTheirNumbers) {
  const auto layer = made(6);
  const data::GraphBatch b = two_edges();
  EXPECT_TRUE(layer->edges(b, false).source.equal(at::tensor({2, 1, 5, 4}, at::kLong)));
  EXPECT_TRUE(layer->edges(b, true).source.equal(b.source));
  EXPECT_EQ(layer->edges(b, true).nodes(), 6);
}

}  // namespace
}  // namespace gtrain::models

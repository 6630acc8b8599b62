#include "gtrain/models/message_network.h"

#include "models/sample.h"

namespace gtrain::models {
namespace {

// A network whose output is its node vectors.
class Bare final : public MessageNetwork {
 public:
  Bare(const MessageNetworkOptions& options, const EdgeOptions& edge)
      : MessageNetwork(options, {CategoricalOptions{}, edge, {}}, sample::signature()),
        width(node_width()) {
    initialise(*this, 11);
    to(at::kDouble);
  }
  using MessageNetwork::initialise;
  at::Tensor forward(const data::GraphBatch& batch, nn::Context& context) override {
    return node_vectors(batch, context);
  }
  std::string script() const override { return ""; }

  std::int64_t width;

 private:
  static void initialise(Model& model, std::uint64_t seed) { models::initialise(model, seed); }
};

at::Tensor vectors(const MessageNetworkOptions& options, const data::GraphBatch& batch,
                   const EdgeOptions& edge = TypeOptions{}) {
  Bare network(options, edge);
  nn::Context c = support::context(false);
  const at::Tensor out = network.forward(batch, c);
  EXPECT_EQ(out.size(1), network.width);
  return out;
}

MessageNetworkOptions options() {
  MessageNetworkOptions o;
  o.width = 8;
  o.layers = 2;
  return o;
}

TEST(MessageNetwork, JumpSaysWhichLayersNodeVectorsComeOut) {
  const data::GraphBatch batch = sample::batch(support::odd_graphs());
  MessageNetworkOptions o = options();
  o.layers = 1;
  const at::Tensor one = vectors(o, batch);
  o.layers = 2;
  const at::Tensor two = vectors(o, batch);
  o.jump = "sum";
  const at::Tensor sum = vectors(o, batch);
  o.jump = "concat";
  const at::Tensor both = vectors(o, batch);
  EXPECT_EQ(both.size(1), 16);
  EXPECT_TRUE(support::same_bits(both.slice(1, 8).contiguous(), two));
  EXPECT_LT(support::distance(both.slice(1, 0, 8) + one + two, sum), 1e-12);
  EXPECT_GT(support::distance(one, two), 1e-3);
}

TEST(MessageNetwork, ConcatTakesTheFirstLayersInputWithWhatTheVirtualNodeSays) {
  const data::GraphBatch batch = sample::batch({support::path(4)});
  MessageNetworkOptions o = options();
  o.jump = "concat";
  o.virtual_node = ClassicVirtualNodeOptions{};
  Bare network(o, TypeOptions{});
  const auto input = [&] {
    nn::Context c = support::context(false);
    const at::NoGradGuard guard;
    return network.forward(batch, c).slice(1, 0, 8).clone();
  };
  const at::Tensor before = input();
  {
    const at::NoGradGuard guard;
    network.named_parameters()["virtual_node"].fill_(0.5);
  }
  EXPECT_LT(support::distance(input(), before + 0.5), 1e-12);
}

TEST(MessageNetwork, OgbsLayersDoWithoutEdgeVectors) {
  const data::GraphBatch batch = sample::batch(support::odd_graphs());
  data::GraphBatch other = batch;
  other.edge = (batch.edge + 1) % 4;
  MessageNetworkOptions o = options();
  for (const char* local : {"ogb_gin", "ogb_gcn"}) {
    o.local = local;
    EXPECT_TRUE(
        support::same_bits(vectors(o, batch, NoneOptions{}), vectors(o, other, NoneOptions{})));
    EXPECT_GT(support::distance(vectors(o, batch), vectors(o, other)), 1e-6) << local;
  }
}

}  // namespace
}  // namespace gtrain::models

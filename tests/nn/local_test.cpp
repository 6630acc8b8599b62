#include "gtrain/nn/local.h"

#include <gmock/gmock.h>

#include "support/layer_case.h"

namespace gtrain {
namespace {

TEST(Local, MakesEveryNameItLists) {
  const auto b = support::pack_odd_graphs();
  const at::Tensor x = at::randn({b.nodes, 8}, at::kDouble);
  const at::Tensor e = at::randn({b.edges.count(), 8}, at::kDouble);
  for (const std::string_view name : nn::local_names()) {
    SCOPED_TRACE(name);
    const auto layer = support::ready(nn::make_local(std::string(name), {.width = 8}));
    nn::Context c = support::context(true);
    const auto [h, out_e] = layer->forward({x, e, b.edges, {}}, c);
    EXPECT_EQ(h.sizes(), x.sizes());
    EXPECT_EQ(out_e.sizes(), e.sizes());
    EXPECT_TRUE(h.isfinite().all().item<bool>());
    if (!nn::reads_edge_vectors(name)) {
      nn::Context again = support::context(true);
      EXPECT_TRUE(support::same_bits(layer->forward({x, {}, b.edges, {}}, again).first, h));
    }
  }
}

TEST(Local, RefusesWhatItDoesNotKnow) {
  EXPECT_THROW(nn::make_local("gine2", {}), c10::Error);
  EXPECT_THROW(nn::make_local("pna", {.gates = true}), c10::Error);
  EXPECT_FALSE(nn::reads_edge_vectors("gine2"));
  EXPECT_FALSE(nn::supports_gates("gcn"));
}

TEST(Local, ReadsEdgeVectorsOfItsOwnWidthButPna) {
  EXPECT_EQ(nn::edge_vector_width("gine", 300), 300);
  EXPECT_EQ(nn::edge_vector_width("pna", 300), 128);
  EXPECT_EQ(nn::edge_vector_width("pna", 64), 64);
}

TEST(Local, ChangesNoBitWithTheNumberOfThreads) {
  const auto b = support::pack({support::random_graph(1, 300, 0.05)});
  const at::Tensor x = at::randn({b.nodes, 16}), e = at::randn({b.edges.count(), 16});
  for (const std::string_view name : nn::local_names()) {
    SCOPED_TRACE(name);
    const bool gates = nn::supports_gates(name), edges = nn::reads_edge_vectors(name);
    const auto layer =
        support::ready(nn::make_local(std::string(name), {.width = 16, .gates = gates}));
    layer->to(at::kFloat);
    std::vector<at::Tensor> inputs{x};
    if (edges) inputs.push_back(e);
    if (gates) inputs.push_back(at::randn({b.nodes, 5}));
    support::expect_thread_independent(
        [&](const std::vector<at::Tensor>& in) {
          nn::Context c = support::context(true);
          const auto [h, out_e] =
              layer->forward({in[0], edges ? in[1] : at::Tensor(), b.edges, in.back()}, c);
          return edges ? std::vector<at::Tensor>{h, out_e} : std::vector<at::Tensor>{h};
        },
        inputs);
  }
}

}  // namespace
}  // namespace gtrain

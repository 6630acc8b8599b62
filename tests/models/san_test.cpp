#include "gtrain/models/san.h"

#include "models/sample.h"

namespace gtrain::models {
namespace {

SanOptions options(double gamma) {
  SanOptions o;
  o.width = 12;
  o.layers = 2;
  o.heads = 3;
  o.gamma = gamma;
  o.norm = "none";
  o.node = CategoricalOptions{};
  o.edge = TypeOptions{};
  o.head = HalvingHeadOptions{2, "mean"};
  return o;
}

std::shared_ptr<SanLayer> layer_of(const SanOptions& o) {
  return support::ready(std::make_shared<SanLayer>(o));
}

support::EdgeBatch odd_batch() {
  auto graphs = support::odd_graphs();
  graphs.push_back(support::random_arcs(4, 9, 40));  // self loops, repeated arcs
  graphs.push_back(support::complete(4));
  return support::pack(graphs);
}

// Pairs [N, N], row attends to column, of different nodes of a graph without an edge between.
at::Tensor other_pairs(const support::EdgeBatch& b) {
  at::Tensor free = b.graph.unsqueeze(1) == b.graph.unsqueeze(0);
  free.index_put_({b.edges.target, b.edges.source}, at::zeros({}, at::kBool));
  return free & ~at::eye(b.nodes, at::kBool);
}

// The layer's equation on all pairs of the batch, without a norm, with residuals.
at::Tensor dense(const SanLayer& layer, const SanOptions& o, const support::EdgeBatch& b,
                 const std::vector<at::Tensor>& in) {
  const auto p = layer.named_parameters();
  const std::int64_t d = o.width / o.heads;
  const auto linear = [&](const std::string& name, const at::Tensor& x) {
    const at::Tensor* bias = p.find(name + ".bias");
    return at::linear(x, p[name + ".weight"], bias == nullptr ? at::Tensor() : *bias);
  };
  const auto heads = [&](const std::string& name, const at::Tensor& x) {
    return linear(name, x).view({x.size(0), o.heads, d});
  };
  const auto weight = [&](const at::Tensor& products) {
    return products.sum(-1).div(std::sqrt(static_cast<double>(d))).clamp(-5, 5).exp();
  };
  const at::Tensor &x = in[0], v = heads("v", x), &i = b.edges.target, &j = b.edges.source;
  const at::Tensor near = weight(heads("q", x).index_select(0, i) *
                                 heads("k", x).index_select(0, j) * heads("e", in[1]));
  at::Tensor all = at::zeros({b.nodes, b.nodes, o.heads}, x.options())
                       .index_put({i, j}, near, /*accumulate=*/true);
  if (o.gamma > 0) {
    const at::Tensor far = weight(heads("q_other", x).unsqueeze(1) *
                                  heads("k_other", x).unsqueeze(0) * heads("e_other", in[2]));
    all = (all + o.gamma * far * other_pairs(b).unsqueeze(-1)) / (1 + o.gamma);
  }
  const at::Tensor sums = at::einsum("ijh,jhc->ihc", {all, v});
  const at::Tensor mixed = (sums / (all.sum(1).unsqueeze(-1) + 1e-6)).reshape_as(x);
  const at::Tensor h = x + linear("node.out", mixed);
  return h + linear("node.feed_1", at::relu(linear("node.feed_0", h)));
}

// Output, gradients of the inputs and of all parameters.
std::vector<at::Tensor> everything(SanLayer& layer, const support::Operation& f,
                                   const std::vector<at::Tensor>& inputs) {
  layer.zero_grad();
  auto out = support::run_with_gradients(f, inputs);
  for (const auto& p : layer.named_parameters()) {
    out.push_back(p.value().grad().defined() ? p.value().grad().clone()
                                             : at::zeros_like(p.value()));
  }
  return out;
}

at::Tensor run(SanLayer& layer, const SanOptions& o, const support::EdgeBatch& b,
               const std::vector<at::Tensor>& in) {
  nn::Context c = support::context(false);
  return layer.forward(in[0], in[1], o.gamma > 0 ? in[2] : at::Tensor(),
                       san_pairs(b.graph_start, b.edges, o.gamma > 0), c);
}

std::vector<at::Tensor> draw(const support::EdgeBatch& b, double size) {
  at::manual_seed(5);
  return {size * at::randn({b.nodes, 12}, at::kDouble),
          size * at::randn({b.edges.count(), 12}, at::kDouble),
          size * at::randn({1, 12}, at::kDouble)};
}

TEST(SanLayer, IsItsEquationWithAllGradientsOnOddGraphs) {
  const support::EdgeBatch b = odd_batch();
  for (const double gamma : {0.0, 1e-5, 0.1, 3.0}) {
    for (const double size : {1.0, 4.0}) {  // the second drives scores into the clamp
      SanOptions o = options(gamma);
      o.bias = size > 1;
      const auto layer = layer_of(o);
      const std::vector<at::Tensor> in = draw(b, size);
      const auto got = everything(
          *layer, [&](const auto& x) { return std::vector{run(*layer, o, b, x)}; }, in);
      const auto want = everything(
          *layer, [&](const auto& x) { return std::vector{dense(*layer, o, b, x)}; }, in);
      ASSERT_EQ(got.size(), want.size());
      for (std::size_t i = 0; i < got.size(); ++i) {
        const double scale = 1 + want[i].abs().max().item<double>();
        EXPECT_LT(support::distance(got[i], want[i]) / scale, 1e-11)
            << i << " gamma " << gamma << " size " << size;
      }
    }
  }
}

// Sums over thousands of pairs survive being told apart and put together again.
TEST(SanLayer, InSinglePrecisionIsAsCloseAsItsEquation) {
  const SanOptions o = options(1.0);
  const support::EdgeBatch b = support::pack({support::random_graph(3, 300, 0.02)});
  std::vector<at::Tensor> in = draw(b, 2);
  const auto layer = layer_of(o);
  for (at::Tensor& t : in) t = t.to(at::kFloat).to(at::kDouble);
  layer->to(at::kFloat);
  layer->to(at::kDouble);  // weights that both types hold
  const at::Tensor exact = dense(*layer, o, b, in);
  layer->to(at::kFloat);
  for (at::Tensor& t : in) t = t.to(at::kFloat);
  const double plain = support::distance(dense(*layer, o, b, in), exact);
  EXPECT_LT(support::distance(run(*layer, o, b, in), exact), 2 * plain + 2e-6);
}

TEST(SanPairs, AreTheEdgesAndEveryOtherPairOfDifferentNodesOnce) {
  const support::EdgeBatch b = odd_batch();
  const SanPairs pairs = san_pairs(b.graph_start, b.edges, true);
  EXPECT_TRUE(at::equal(pairs.edges.column.to(at::kLong), b.edges.source));
  const at::Tensor want = at::nonzero(other_pairs(b));
  EXPECT_TRUE(at::equal(pairs.others.column.to(at::kLong), want.select(1, 1)));
  EXPECT_TRUE(at::equal(pairs.others.row_start, support::starts_of(want.select(1, 0), b.nodes)));
  EXPECT_FALSE(san_pairs(b.graph_start, b.edges, false).others.row_start.defined());
}

TEST(San, WithoutGammaHasNothingOfTheOtherPairs) {
  for (const double gamma : {0.0, 1e-3}) {
    const auto m = build_model(options(gamma), sample::signature());
    const auto p = m->named_parameters();
    for (const char* name : {"other_edge.vector", "layer_1.q_other.weight",
                             "layer_1.k_other.weight", "layer_1.e_other.weight"}) {
      EXPECT_EQ(p.contains(name), gamma > 0) << name;
    }
  }
}

// GraphGPS's zinc-SAN, and its sparse form (full_graph: False), which has no vector f either.
TEST(San, ParameterCountsAreThoseOfGraphGps) {
  SanOptions o = options(1e-5);
  o.width = 56;
  o.heads = 8;
  o.layers = 10;
  o.norm = "batch";
  o.node = TypeOptions{28};
  o.edge = TypeOptions{4};
  TransformerEncoderOptions positions;
  positions.dim = 8;
  o.encoders = {positions};
  o.head = HalvingHeadOptions{2, "sum"};
  Signature s;
  s.node_width = s.edge_width = 1;
  s.node_categories = {28};
  s.edge_categories = {4};
  s.encodings = {{"laplacian", 10}};
  EXPECT_EQ(parameter_count(*build_model(o, s)), 454753);
  o.gamma = 0;
  EXPECT_EQ(parameter_count(*build_model(o, s)), 454753 - 10 * 3 * 56 * 56 - 56);
}

}  // namespace
}  // namespace gtrain::models

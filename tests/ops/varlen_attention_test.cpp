#include "gtrain/ops/varlen_attention.h"

#include <limits>

#include "gtrain/ops/reference.h"
#include "ops/detail/random.h"
#include "support/edge_batch.h"

namespace gtrain {
namespace {

using support::EdgeBatch;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

EdgeBatch pack_sizes(const std::vector<std::int64_t>& sizes) {
  std::vector<support::OddGraph> graphs;
  for (const std::int64_t n : sizes) graphs.push_back(support::edgeless(n));
  return support::pack(graphs);
}

std::int64_t pairs_of(const EdgeBatch& b) {
  const at::Tensor n = b.graph_start.diff();
  return (n * n).sum().item<std::int64_t>();
}

// Inputs qkv, and with a bias the table and the bias of each pair; the hops are not symmetric.
struct Problem {
  EdgeBatch batch;
  std::int64_t heads = 1;
  at::Tensor hops;
  std::vector<at::Tensor> inputs;
  double dropout = 0;
  std::uint64_t key = 0;
};

Problem plain(const EdgeBatch& b, std::int64_t width, std::int64_t heads) {
  return {b, heads, {}, {at::randn({b.nodes, 3 * width}, at::kDouble)}};
}

Problem biased(const EdgeBatch& b, std::int64_t width, std::int64_t heads, std::int64_t buckets) {
  Problem p = plain(b, width, heads);
  p.hops = at::randint(buckets, {pairs_of(b)}, at::kByte);
  p.inputs.push_back(at::randn({buckets, heads}, at::kDouble));
  p.inputs.push_back(at::randn({pairs_of(b), heads}, at::kDouble));
  return p;
}

ops::AttentionBias bias_of(const Problem& p, const std::vector<at::Tensor>& in) {
  ops::AttentionBias bias;
  if (in.size() > 1) {
    bias.hops = p.hops;
    bias.table = in[1];
    bias.pair = in[2];
  }
  return bias;
}

support::Operation op(const Problem& p) {
  return [=](const std::vector<at::Tensor>& in) -> std::vector<at::Tensor> {
    return {ops::varlen_attention(in[0], p.batch.graph_start, p.heads,
                                  {p.dropout, p.key, bias_of(p, in)})};
  };
}

// Row i, head h of the batch draws from stream i * H + h, column j of its graph is draw j.
at::Tensor documented_mask(const Problem& p) {
  const at::Tensor sizes = p.batch.graph_start.diff();
  const std::int64_t graphs = sizes.size(0), longest = sizes.max().item<std::int64_t>();
  at::Tensor mask = at::zeros({graphs, p.heads, longest, longest}, at::kBool);
  const std::uint32_t threshold = ops::detail::drop_threshold(p.dropout);
  auto keep = mask.accessor<bool, 4>();
  for (std::int64_t g = 0; g < graphs; ++g) {
    const std::int64_t n = sizes[g].item<std::int64_t>();
    const std::int64_t first = p.batch.graph_start[g].item<std::int64_t>();
    for (std::int64_t h = 0; h < p.heads; ++h) {
      for (std::int64_t i = 0; i < n; ++i) {
        const std::uint64_t row =
            ops::detail::row_key(p.key, static_cast<std::uint64_t>((first + i) * p.heads + h));
        for (std::int64_t j = 0; j < n; ++j) {
          keep[g][h][i][j] =
              ops::detail::draw<std::uint32_t>(row, static_cast<std::uint32_t>(j)) >= threshold;
        }
      }
    }
  }
  return mask;
}

support::Operation dense(const Problem& p) {
  const at::Tensor mask = p.dropout > 0 ? documented_mask(p) : at::Tensor();
  return [=](const std::vector<at::Tensor>& in) -> std::vector<at::Tensor> {
    return {ops::reference::varlen_attention(in[0], p.batch.graph_start, p.heads, p.dropout, mask,
                                             bias_of(p, in))};
  };
}

void expect_law(const Problem& p, const std::vector<at::ScalarType>& types = support::all_types()) {
  support::expect_kernel_law(op(p), dense(p), p.inputs, types);
}

TEST(VarlenAttention, EqualsDenseSoftmaxOnOddGraphs) {
  at::manual_seed(1);
  const EdgeBatch b = support::pack_odd_graphs();
  for (const auto& [width, heads] : {std::pair{16, 4}, {24, 4}, {20, 1}, {6, 3}, {64, 4}}) {
    SCOPED_TRACE(width);
    expect_law(plain(b, width, heads));
    expect_law(biased(b, width, heads, 7));
  }
}

TEST(VarlenAttention, EqualsDenseSoftmaxOnTwoHundredRandomGraphs) {
  at::manual_seed(2);
  std::int64_t seed = 0;
  for (const EdgeBatch& b : support::random_batches()) {
    SCOPED_TRACE(seed);
    if (b.nodes == 0) continue;
    const std::int64_t heads = 1 + seed % 4, width = heads * (1 + seed % 20);
    expect_law(seed % 3 == 0 ? plain(b, width, heads) : biased(b, width, heads, 1 + seed));
    ++seed;
  }
}

TEST(VarlenAttention, EqualsDenseSoftmaxAtTheEdgesOfItsTiles) {
  at::manual_seed(3);
  for (const std::int64_t n : {8, 9, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 96, 97, 129}) {
    SCOPED_TRACE(n);
    const EdgeBatch b = pack_sizes({n, 1});
    expect_law(plain(b, 10, 1), {at::kDouble, at::kFloat});
    expect_law(biased(b, 24, 2, 5), {at::kDouble, at::kFloat});
  }
}

TEST(VarlenAttention, EqualsDenseSoftmaxForHeadsOfAnyWidth) {
  at::manual_seed(4);
  const EdgeBatch b = pack_sizes({3, 35, 70});
  for (std::int64_t width = 1; width <= 40; ++width) {
    SCOPED_TRACE(width);
    expect_law(plain(b, 2 * width, 2), {at::kDouble, at::kFloat});
  }
  for (const std::int64_t width : {48, 80, 129}) expect_law(plain(b, width, 1));
}

TEST(VarlenAttention, EqualsDenseSoftmaxOnGraphsLargeEnoughToBeSplitByHead) {
  at::manual_seed(5);
  const EdgeBatch b = pack_sizes({3, 131, 1, 97, 250});
  expect_law(plain(b, 16, 2));
  expect_law(biased(b, 16, 2, 33));
}

TEST(VarlenAttention, LooksUpTablesOfAnySize) {
  at::manual_seed(6);
  const EdgeBatch b = pack_sizes({20, 37});
  for (const std::int64_t buckets : {1, 2, 16, 17, 31, 32, 33, 63, 64, 65, 255, 256}) {
    SCOPED_TRACE(buckets);
    Problem p = biased(b, 8, 2, buckets);
    p.hops[0].fill_(buckets - 1);
    expect_law(p, {at::kDouble, at::kFloat});
  }
}

TEST(VarlenAttention, DropsByTheDocumentedStreamsForwardAndBackward) {
  at::manual_seed(7);
  for (const double dropout : {0.1, 0.5, 0.9}) {
    SCOPED_TRACE(dropout);
    Problem p = biased(pack_sizes({5, 0, 33, 90, 1, 200}), 12, 3, 9);
    p.dropout = dropout;
    p.key = 0xfedcba9876543210;
    expect_law(p);
  }
}

TEST(VarlenAttention, GradientsEqualFiniteDifferencesAlsoUnderDropoutAndBias) {
  at::manual_seed(8);
  const EdgeBatch b = pack_sizes({5, 1, 7});
  Problem p = plain(b, 4, 2);
  support::expect_gradients(op(p), p.inputs);
  p = biased(b, 4, 2, 3);
  support::expect_gradients(op(p), p.inputs);
  p.dropout = 0.4;
  p.key = 77;
  support::expect_gradients(op(p), p.inputs);
}

TEST(VarlenAttention, OneGradientAloneEqualsTheSameAmongAll) {
  at::manual_seed(9);
  const Problem p = biased(pack_sizes({9, 40}), 8, 2, 6);
  const auto all = support::run_with_gradients(op(p), p.inputs);
  for (std::size_t i = 0; i < 3; ++i) {
    std::vector<at::Tensor> in = p.inputs;
    for (std::size_t k = 0; k < 3; ++k) in[k] = in[k].clone().set_requires_grad(k == i);
    const at::Tensor out = op(p)(in)[0];
    out.backward(support::loss_weights(out, at::kDouble));
    EXPECT_TRUE(support::same_bits(in[i].grad(), all[1 + i])) << i;
  }
}

TEST(VarlenAttention, EachBiasAloneTakesItsGradient) {
  at::manual_seed(16);
  const EdgeBatch batch = pack_sizes({5, 40});
  const Problem p = biased(batch, 8, 2, 6);
  const auto only = [&](bool hops, const at::Tensor& bias) {
    return hops ? ops::AttentionBias{p.hops, bias, {}, {}} : ops::AttentionBias{{}, {}, bias, {}};
  };
  for (const bool hops : {true, false}) {
    SCOPED_TRACE(hops);
    support::expect_kernel_law(
        [&](const std::vector<at::Tensor>& in) -> std::vector<at::Tensor> {
          return {ops::varlen_attention(in[0], batch.graph_start, 2, {0.0, 0, only(hops, in[1])})};
        },
        [&](const std::vector<at::Tensor>& in) -> std::vector<at::Tensor> {
          return {ops::reference::varlen_attention(in[0], batch.graph_start, 2, 0.0, {},
                                                   only(hops, in[1]))};
        },
        {p.inputs[0], p.inputs[hops ? 1 : 2]});
  }
}

TEST(VarlenAttention, LargeScoresStayFinite) {
  const EdgeBatch b = pack_sizes({9, 70});
  for (const double size : {300.0, 1e9}) {
    const at::Tensor qkv = (at::randn({79, 12}) * size).requires_grad_();
    const at::Tensor out = ops::varlen_attention(qkv, b.graph_start, 2);
    out.sum().backward();
    EXPECT_TRUE(at::isfinite(out).all().item<bool>());
    EXPECT_TRUE(at::isfinite(qkv.grad()).all().item<bool>());
  }
}

TEST(VarlenAttention, EqualScoresOfAnySizeWeighAlike) {
  at::manual_seed(10);
  for (const double level : {0.0, -200.0, 200.0, -1e30}) {
    SCOPED_TRACE(level);
    for (const std::int64_t n : {7, 100}) {
      const EdgeBatch b = pack_sizes({n});
      const at::Tensor qkv = at::randn({n, 12});
      qkv.slice(1, 0, 4).zero_();
      ops::VarlenOptions options;
      options.bias.pair = at::full({n * n, 1}, level);
      const at::Tensor out = ops::varlen_attention(qkv, b.graph_start, 1, options);
      EXPECT_LT(support::distance(out, qkv.slice(1, 8, 12).mean(0, true).expand({n, 4})), 1e-5);
    }
  }
}

TEST(VarlenAttention, HidesKeysWhoseBiasIsMinusInfinity) {
  at::manual_seed(11);
  for (const std::int64_t n : {6, 33, 150}) {
    SCOPED_TRACE(n);
    Problem p = biased(pack_sizes({n}), 8, 2, 3);
    p.inputs[1][1].fill_(-kInfinity);  // a third of the keys
    const at::Tensor pair = p.inputs[2].view({n, n, 2});
    pair.select(1, 0).fill_(0);
    p.hops.view({n, n}).select(1, 0).fill_(0);  // at least one key of every query is seen
    expect_law(p, {at::kDouble, at::kFloat});
    p.inputs[1][1].fill_(-1e30);
    expect_law(p, {at::kDouble, at::kFloat});
  }
}

TEST(VarlenAttention, QueryThatSeesNoKeyGivesZerosAndTakesNoGradient) {
  at::manual_seed(12);
  for (const std::int64_t n : {5, 40, 140}) {
    SCOPED_TRACE(n);
    Problem p = biased(pack_sizes({n}), 8, 2, 3);
    p.inputs[2].view({n, n, 2}).select(0, 2).fill_(-kInfinity);
    const auto found = support::run_with_gradients(op(p), p.inputs);
    for (const at::Tensor& t : found) EXPECT_TRUE(at::isfinite(t).all().item<bool>());
    EXPECT_EQ(found[0][2].abs().max().item<double>(), 0);
    EXPECT_EQ(found[1][2].slice(0, 0, 8).abs().max().item<double>(), 0);
    EXPECT_EQ(found[3].view({n, n, 2})[2].abs().max().item<double>(), 0);
    EXPECT_GT(found[0][1].abs().max().item<double>(), 0);
  }
}

TEST(VarlenAttention, DropoutKeepsTheExpectedShareAndTheMean) {
  const std::int64_t n = 64;
  const EdgeBatch b = pack_sizes({n});
  at::Tensor qkv = at::zeros({n, 3 * 8});
  qkv.slice(1, 16, 24).fill_(1);  // uniform weights on ones: each row is its kept share / (1 - p)
  double total = 0;
  for (std::uint64_t key = 0; key < 50; ++key) {
    const at::Tensor out = ops::varlen_attention(qkv, b.graph_start, 2, 0.3, key);
    total += out.mean().item<double>() / 50;
    EXPECT_GT(out.std().item<double>(), 0.01);
  }
  EXPECT_NEAR(total, 1.0, 0.01);
}

TEST(VarlenAttention, OtherKeysDrawOtherMasksTheSameKeyTheSame) {
  const EdgeBatch b = pack_sizes({20});
  const at::Tensor qkv = at::randn({20, 24});
  const at::Tensor first = ops::varlen_attention(qkv, b.graph_start, 2, 0.5, 1);
  EXPECT_TRUE(support::same_bits(first, ops::varlen_attention(qkv, b.graph_start, 2, 0.5, 1)));
  EXPECT_FALSE(support::same_bits(first, ops::varlen_attention(qkv, b.graph_start, 2, 0.5, 2)));
}

TEST(VarlenAttention, BitsDoNotDependOnTheThreadCount) {
  at::manual_seed(13);
  Problem p = biased(pack_sizes({200, 30, 31, 150, 7, 1, 64, 64, 40, 40, 90}), 64, 4, 20);
  p.dropout = 0.5;
  p.key = 9;
  for (at::Tensor& x : p.inputs) x = x.to(at::kFloat);
  support::expect_thread_independent(op(p), p.inputs);
}

TEST(VarlenAttention, BitsDoNotDependOnTheMemoryOrderOfTheInputs) {
  at::manual_seed(14);
  const Problem p = biased(pack_sizes({12, 50}), 8, 2, 4);
  std::vector<at::Tensor> other;
  for (const at::Tensor& x : p.inputs) other.push_back(x.t().contiguous().t());
  const auto a = support::run_with_gradients(op(p), p.inputs);
  const auto b = support::run_with_gradients(op(p), other);
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(support::same_bits(a[i], b[i])) << i;
}

TEST(VarlenAttention, GraphsDoNotTouchEachOther) {
  at::manual_seed(15);
  const EdgeBatch both = pack_sizes({37, 20});
  const at::Tensor qkv = at::randn({57, 3 * 16});
  const at::Tensor out = ops::varlen_attention(qkv, both.graph_start, 2);
  const EdgeBatch alone = pack_sizes({37});
  EXPECT_TRUE(support::same_bits(out.slice(0, 0, 37),
                                 ops::varlen_attention(qkv.slice(0, 0, 37), alone.graph_start, 2)));
}

TEST(VarlenAttention, RefusesShapesThatDoNotFit) {
  const at::Tensor start = at::tensor(std::vector<std::int64_t>{0, 4}, at::kLong);
  EXPECT_THROW(ops::varlen_attention(at::zeros({4, 10}), start, 4), c10::Error);
  EXPECT_THROW(ops::varlen_attention(at::zeros({5, 12}), start, 2), c10::Error);
  EXPECT_THROW(ops::varlen_attention(at::zeros({4, 12}), start, 2, 1.0), c10::Error);
  EXPECT_THROW(ops::varlen_attention(at::zeros({4, 12}, at::kLong), start, 2), c10::Error);
}

TEST(VarlenAttention, RefusesStartsItCannotReadAsTheyAre) {
  support::expect_start_checked("graph_start", [](const at::Tensor& start) {
    ops::varlen_attention(at::zeros({3, 12}), start, 2);
  });
  using Starts = std::vector<std::int64_t>;
  for (const Starts& start : {Starts{2, 3}, Starts{0, 70000, 3}}) {
    EXPECT_THROW(ops::varlen_attention(at::zeros({3, 12}), at::tensor(start, at::kLong), 2),
                 c10::Error);
  }
}

TEST(VarlenAttention, RefusesBiasesThatDoNotFit) {
  const at::Tensor start = at::tensor(std::vector<std::int64_t>{0, 4}, at::kLong);
  const at::Tensor qkv = at::zeros({4, 12});
  const at::Tensor hops = at::ones({16}, at::kByte), table = at::zeros({2, 2});
  const auto run = [&](const ops::AttentionBias& bias) {
    return ops::varlen_attention(qkv, start, 2, {0.0, 0, bias});
  };
  EXPECT_NO_THROW(run({hops, table, at::zeros({16, 2}), {}}));
  EXPECT_THROW(run({hops, {}, {}, {}}), c10::Error);
  EXPECT_THROW(run({{}, table, {}, {}}), c10::Error);
  EXPECT_THROW(run({hops, at::zeros({1, 2}), {}, {}}), c10::Error);  // bucket 1 of a table of 1
  EXPECT_THROW(run({hops, at::zeros({257, 2}), {}, {}}), c10::Error);
  EXPECT_THROW(run({hops, at::zeros({2, 3}), {}, {}}), c10::Error);
  EXPECT_THROW(run({hops.slice(0, 0, 15), table, {}, {}}), c10::Error);
  EXPECT_THROW(run({hops.to(at::kLong), table, {}, {}}), c10::Error);
  EXPECT_THROW(run({{}, {}, at::zeros({15, 2}), {}}), c10::Error);
  EXPECT_THROW(run({hops, table, {}, at::zeros({2}, at::kLong)}), c10::Error);
  EXPECT_THROW(run({hops, table, {}, start.to(at::kMeta)}), c10::Error);
}

}  // namespace
}  // namespace gtrain

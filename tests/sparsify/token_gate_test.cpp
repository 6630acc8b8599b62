#include "gtrain/sparsify/token_gate.h"

#include <cmath>
#include <limits>

#include "support/layer_case.h"

namespace gtrain::sparsify {
namespace {

at::Tensor longs(std::vector<std::int64_t> v) { return at::tensor(v, at::kLong); }

std::vector<std::int64_t> listed(const at::Tensor& t) {
  return {t.const_data_ptr<std::int64_t>(), t.const_data_ptr<std::int64_t>() + t.numel()};
}

TEST(TokenGate, KeepsTheCeilingAndAtLeastOne) {
  EXPECT_EQ(kept_tokens(250'000'000, 1), 1);
  EXPECT_EQ(kept_tokens(250'000'000, 4), 1);
  EXPECT_EQ(kept_tokens(250'000'000, 5), 2);
  EXPECT_EQ(kept_tokens(300'000'000, 10), 3);  // 0.3 * 10 is above 3 in some arithmetic
  EXPECT_EQ(kept_tokens(1, 7), 1);
  EXPECT_EQ(kept_tokens(500'000'000, 0), 0);
}

TEST(TokenGate, KeepsTheLargestOfEachGraphAndTheLowerRowOfEquals) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const at::Tensor score = at::tensor({1.0, 3.0, 3.0, 2.0, nan, 5.0, -1.0}, at::kDouble);
  const nn::KeptRows kept = keep_largest(score, longs({0, 4, 4, 7}), {500'000'000, 0});
  EXPECT_EQ(listed(kept.rows.index), (std::vector<std::int64_t>{1, 2, 5, 6}));
  EXPECT_EQ(listed(kept.graph_start), (std::vector<std::int64_t>{0, 2, 2, 4}));
}

// Symmetric atoms, whose scores another batch rounds another way.
TEST(TokenGate, ScoresThatDifferByRoundingAreEqual) {
  for (const double e : {-1e-9, 0.0, 1e-9}) {
    const at::Tensor score = at::tensor({0.5, 2.0 - e, 2.0 + e, -3.0}, at::kDouble);
    const nn::KeptRows kept = keep_largest(score, longs({0, 4}), {250'000'000, 0});
    EXPECT_EQ(listed(kept.rows.index), (std::vector<std::int64_t>{1})) << e;
  }
}

TEST(TokenGate, AConstantAddedToAllScoresChangesNothing) {
  const at::Tensor score = at::tensor({0.001, 0.004, 0.003, 0.002}, at::kDouble);
  for (const double more : {0.0, 1000.0}) {
    const nn::KeptRows kept = keep_largest(score + more, longs({0, 4}), {500'000'000, 0});
    EXPECT_EQ(listed(kept.rows.index), (std::vector<std::int64_t>{1, 2})) << more;
  }
}

// Wherever two equal scores lie, rounding them apart decides nothing; what is larger by more than a
// tie stays, whatever its number.
TEST(TokenGate, NoScoreLiesOnTheEdgeOfATie) {
  base::Random random(1);
  for (int i = 0; i < 2000; ++i) {
    const double s = 0.1 + 0.8 * random.uniform(), e = 1e-7 * (random.uniform() - 0.5);
    const at::Tensor score = at::tensor({0.0, s, s + e, 1.0, s - e}, at::kDouble) + 1000;
    for (const std::int64_t k : {2, 3, 4}) {
      const nn::KeptRows kept = keep_largest(score, longs({0, 5}), {k * 200'000'000, 0});
      const std::vector<std::vector<std::int64_t>> want{{1, 3}, {1, 2, 3}, {1, 2, 3, 4}};
      ASSERT_EQ(listed(kept.rows.index), want[static_cast<std::size_t>(k - 2)]) << s;
    }
  }
  const at::Tensor apart = at::tensor({0.0, 0.5, 0.50011, 1.0}, at::kDouble);
  EXPECT_EQ(listed(keep_largest(apart, longs({0, 4}), {500'000'000, 0}).rows.index),
            (std::vector<std::int64_t>{2, 3}));
}

// A ring of equal nodes: all that is between the scores is rounding.
TEST(TokenGate, ScoresThatAreRoundingOfTheirTermsAloneAreEqual) {
  base::Random random(2);
  for (int i = 0; i < 50; ++i) {
    const at::Tensor score = at::zeros({6}, at::kDouble);
    for (int j = 0; j < 6; ++j) score[j] = 0.3 + 1e-7 * random.uniform();
    TokenShare half{500'000'000, 0, {}, at::full({6}, 0.8, at::kDouble)};
    EXPECT_EQ(listed(keep_largest(score, longs({0, 6}), half).rows.index),
              (std::vector<std::int64_t>{0, 1, 2}));
  }
}

// As many as are wanted stay, each once.
TEST(TokenGate, InfiniteScoresOnTheEdgeAreEqual) {
  const double inf = std::numeric_limits<double>::infinity();
  const auto four_of = [](const at::Tensor& score) {
    return listed(keep_largest(score, longs({0, 5}), {800'000'000, 0}).rows.index);
  };
  EXPECT_EQ(four_of(at::tensor({-inf, 1.0, -inf, -inf, 2.0}, at::kDouble)),
            (std::vector<std::int64_t>{0, 1, 2, 4}));
  EXPECT_EQ(four_of(at::tensor({1.0, inf, inf, inf, inf}, at::kDouble)),
            (std::vector<std::int64_t>{1, 2, 3, 4}));
}

TEST(TokenGate, TheShareIsOfTheGraphBeforeAnyNodeLeft) {
  const at::Tensor score = at::arange(6, at::kDouble);
  // Of 10 and 3 nodes 4 and 2 are left; half of the first are 5.
  const TokenShare half{500'000'000, 0, longs({0, 10, 13})};
  EXPECT_EQ(listed(keep_largest(score, longs({0, 4, 6}), half).graph_start),
            (std::vector<std::int64_t>{0, 4, 6}));
  const TokenShare fifth{200'000'000, 0, longs({0, 10, 13})};
  EXPECT_EQ(listed(keep_largest(score, longs({0, 4, 6}), fifth).rows.index),
            (std::vector<std::int64_t>{2, 3, 5}));
}

TEST(TokenGate, LeadingTokensStayAndDoNotCount) {
  const at::Tensor score = at::tensor({-9.0, 1.0, 2.0, 3.0}, at::kDouble);
  const nn::KeptRows kept = keep_largest(score, longs({0, 4}), {300'000'000, 1});
  EXPECT_EQ(listed(kept.rows.index), (std::vector<std::int64_t>{0, 3}));
}

class TokenGateOf : public ::testing::Test {
 protected:
  TokenGateOf() {
    layer = support::ready(std::make_shared<nn::Attention>(8, 2, 0.0));
    gate = support::ready(std::make_shared<LearnedSelection>(8, 0, 1.0, false), 9);
    layer->register_module("token_gate", gate);
  }
  at::Tensor run(bool training, std::uint64_t key = 1) {
    nn::Context context = support::context(training, key);
    return layer->forward({.x = x, .graph_start = start}, context);
  }
  std::int64_t rows_with_update(const at::Tensor& out) {
    return (out.abs().sum(1) > 0).sum().item<std::int64_t>();
  }
  std::shared_ptr<nn::Attention> layer;
  std::shared_ptr<LearnedSelection> gate;
  at::Tensor start = longs({0, 1, 10, 17});
  at::Tensor x = at::randn({17, 8}, at::kDouble).requires_grad_();
};

TEST_F(TokenGateOf, EverythingKeptIsTheDenseLayerToTheBit) {
  const at::Tensor dense = run(true);
  layer->token_gate = gate;
  EXPECT_TRUE(support::same_bits(run(true), dense));
  EXPECT_TRUE(support::same_bits(run(false), dense));
}

TEST_F(TokenGateOf, UpdatesExactlyTheKeptRowsAtEveryShare) {
  layer->token_gate = gate;
  for (const double keep : {0.1, 0.25, 0.5, 0.75, 0.999}) {
    gate->set_keep(keep);
    const auto each = [&](double n) { return std::max(1.0, std::ceil(keep * n)); };
    const auto want = static_cast<std::int64_t>(1 + each(9) + each(7));
    EXPECT_EQ(rows_with_update(run(true)), want) << keep;
    EXPECT_EQ(rows_with_update(run(false)), want) << keep;
  }
}

TEST_F(TokenGateOf, DrawsInTrainingOnly) {
  layer->token_gate = gate;
  gate->set_keep(0.5);
  EXPECT_TRUE(support::same_bits(run(false, 1), run(false, 2)));
  EXPECT_TRUE(support::same_bits(run(true, 1), run(true, 1)));
  bool differs = false;
  for (std::uint64_t key = 2; key < 8; ++key) {
    differs = differs || !support::same_bits(run(true, 1), run(true, key));
  }
  EXPECT_TRUE(differs);
}

// What stays is multiplied by exactly one, and yet the scorer learns.
TEST_F(TokenGateOf, ScorerLearnsStraightThrough) {
  layer->token_gate = gate;
  gate->set_keep(0.5);
  nn::Context context = support::context(true);
  const auto kept = gate->choose({{.x = x, .graph_start = start}}, context);
  EXPECT_EQ(kept->scale.min().item<double>(), 1);
  EXPECT_EQ(kept->scale.max().item<double>(), 1);
  run(true).pow(2).sum().backward();
  EXPECT_GT(gate->weight.grad().abs().max().item<double>(), 0);
}

// The row in front of a graph does not compete: the softmax is that of the nodes alone.
TEST_F(TokenGateOf, ALeadingTokenHasNoPartInTheGradient) {
  const auto with = support::ready(std::make_shared<LearnedSelection>(8, 1, 1.0, false), 9);
  with->set_keep(0.5);
  const at::Tensor one = longs({0, 6});
  const auto gradient = [&](double token) {
    at::Tensor rows = x.detach().slice(0, 0, 6).clone();
    rows[0].fill_(token);
    nn::Context context = support::context(true);
    const auto kept = with->choose({{.x = rows, .graph_start = one}}, context);
    with->weight.mutable_grad() = at::Tensor();
    (kept->scale * at::arange(kept->scale.size(0)).view({-1, 1})).sum().backward();
    return with->weight.grad().clone();
  };
  EXPECT_TRUE(support::same_bits(gradient(0.1), gradient(50.0)));
}

TEST_F(TokenGateOf, ABiasOfTheScorerDecidesNothing) {
  gate->set_keep(0.5);
  nn::Context context = support::context(false);
  const at::Tensor before = gate->choose({{.x = x, .graph_start = start}}, context)->rows.index;
  const at::NoGradGuard guard;
  gate->bias.fill_(1000);
  EXPECT_TRUE(
      at::equal(gate->choose({{.x = x, .graph_start = start}}, context)->rows.index, before));
}

TEST_F(TokenGateOf, AttentionDecidesWithoutParameters) {
  const auto by_attention =
      std::make_shared<AttentionSelection>(*layer, 0, AttentionSelection::Options{1, 0.5});
  EXPECT_TRUE(by_attention->parameters().empty());
  layer->token_gate = by_attention;
  by_attention->set_keep(0.5);
  const at::Tensor out = run(true);
  EXPECT_EQ(rows_with_update(out), 1 + 5 + 4);
  out.sum().backward();
  // What left is propagated, so that every row has a gradient.
  EXPECT_EQ((x.grad().abs().sum(1) > 0).sum().item<std::int64_t>(), 17);
}

TEST_F(TokenGateOf, AShareCanBeSpreadOverLayers) {
  gate->set_exponent(0.5);
  gate->set_keep(0.25);
  EXPECT_EQ(gate->keep(), 0.5);
  gate->set_keep(1);
  EXPECT_EQ(gate->keep(), 1);
}

TEST_F(TokenGateOf, KeepIsPartOfTheSavedModel) {
  gate->set_keep(0.25);
  const auto other = std::make_shared<LearnedSelection>(8, 0, 1.0, false);
  other->billionths.copy_(gate->named_buffers()["billionths"]);
  EXPECT_EQ(other->keep(), 0.25);
}

}  // namespace
}  // namespace gtrain::sparsify

// What an op reports is what plain loops over its definition do. The loops run on numbers that
// count their own operations, and must come to the op's result as well.
#include "gtrain/ops/flop_count.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/nn/module.h>

#include <cmath>
#include <functional>
#include <vector>

#include "gtrain/ops/batch_norm.h"
#include "gtrain/ops/edge_attention.h"
#include "gtrain/ops/gather.h"
#include "gtrain/ops/layer_norm.h"
#include "gtrain/ops/linear.h"
#include "gtrain/ops/linear_attention.h"
#include "gtrain/ops/message.h"
#include "gtrain/ops/row.h"
#include "gtrain/ops/segment.h"
#include "gtrain/ops/sparse_attention.h"
#include "gtrain/ops/varlen_attention.h"
#include "ops/flop_loop.h"

namespace gtrain {
namespace {

using namespace flop_loop;
using ops::Work;

// Counts of `run`, and of `loops`, whose results are equal.
void expect_counted(Work work, const std::function<at::Tensor()>& run,
                    const std::function<at::Tensor()>& loops) {
  at::Tensor found;
  ops::Flops flops;
  {
    const ops::FlopCount count;
    found = run();
    flops = count.total();
    EXPECT_TRUE(count.unknown().empty());
  }
  Num::done = 0;
  const at::Tensor want = loops();
  EXPECT_LT((found - want).abs().max().item<double>(), 1e-10);
  EXPECT_EQ(flops.total(), Num::done);
  EXPECT_GT(flops.of[static_cast<std::size_t>(work)], 0);
}

TEST(FlopCount, OfLinearIsThatOfItsLoops) {
  const at::Tensor x = random({5, 4}), w = random({3, 4}), b = random({3});
  for (const bool relu : {false, true}) {
    expect_counted(
        Work::kProduct, [&] { return ops::linear(x, w, b, relu); },
        [&] {
          Mat in(x), weight(w), bias(b), out(5, 3);
          for (Index i = 0; i < 5; ++i) {
            for (Index o = 0; o < 3; ++o) {
              Num sum = 0;
              for (Index c = 0; c < 4; ++c) sum = sum + in(i, c) * weight(o, c);
              sum = sum + bias(o);
              out(i, o) = relu ? larger(sum, 0) : sum;
            }
          }
          return out.tensor({5, 3});
        });
  }
}

TEST(FlopCount, OfAttentionIsThatOfItsLoops) {
  const at::Tensor qkv = random({kRows, 3 * kWidth}), start = starts();
  const Index pairs = 16 + 1 + 16;
  ops::VarlenOptions biased;
  biased.bias.hops = at::arange(pairs).remainder(3).to(at::kByte);
  biased.bias.table = random({3, kHeads});
  biased.bias.pair = random({pairs, kHeads});
  Mat table(biased.bias.table), pair(biased.bias.pair);
  for (const bool with : {false, true}) {
    expect_counted(
        Work::kAttention,
        [&] {
          return ops::varlen_attention(qkv, start, kHeads, with ? biased : ops::VarlenOptions{});
        },
        [&] {
          Mat q = part_of(qkv, 0), k = part_of(qkv, 1), v = part_of(qkv, 2), out(kRows, kWidth);
          Index first = 0;
          for (Index g = 0; g < 4; ++g) {
            const Index begin = at_row(start, g), end = at_row(start, g + 1), n = end - begin;
            std::vector<Index> columns;
            for (Index j = begin; j < end; ++j) columns.push_back(j);
            for (Index i = begin; i < end; ++i) {
              const Biases biases = [&](std::size_t p, Index h) -> std::vector<Num> {
                const Index at = first + (i - begin) * n + static_cast<Index>(p);
                if (!with) return {};
                return {table(at % 3, h), pair(at, h)};
              };
              attend(q, k, v, i, columns, biases, out);
            }
            first += n * n;
          }
          return out.tensor({kRows, kWidth});
        });
  }
}

TEST(FlopCount, OfSparseAttentionIsThatOfItsLoops) {
  const at::Tensor q = random({kRows, kWidth}), k = random({kRows, kWidth}),
                   v = random({kRows, kWidth});
  const ops::EdgeIndex e = edges();
  const ops::AttentionPattern pattern = ops::neighbour_pattern(starts(), e);
  const at::Tensor bias = random({e.count(), kHeads});
  Mat pair(bias);
  expect_counted(
      Work::kAttention,
      [&] { return ops::sparse_attention(q, k, v, pattern, {.heads = kHeads, .pair_bias = bias}); },
      [&] {
        Mat a(q), b(k), c(v), out(kRows, kWidth);
        for (Index i = 0; i < kRows; ++i) {
          std::vector<Index> columns;
          const Index begin = at_row(e.in_start, i);
          for (Index p = begin; p < at_row(e.in_start, i + 1); ++p) {
            columns.push_back(at_row(e.source, p));
          }
          const Biases biases = [&](std::size_t p, Index h) -> std::vector<Num> {
            return {pair(begin + static_cast<Index>(p), h)};
          };
          attend(a, b, c, i, columns, biases, out);
        }
        return out.tensor({kRows, kWidth});
      });
}

TEST(FlopCount, OfEdgeAttentionIsThatOfItsLoops) {
  const at::Tensor q = random({kRows, kWidth}), k = random({kRows, kWidth}),
                   v = random({kRows, kWidth});
  const ops::EdgeIndex e = edges();
  const ops::AttentionPattern pattern = ops::neighbour_pattern(starts(), e);
  for (const bool with : {false, true}) {
    const at::Tensor edge = with ? random({e.count(), kWidth}) : at::Tensor();
    expect_counted(
        Work::kAttention,
        [&] { return ops::edge_attention(q, k, v, edge, pattern, {.heads = kHeads}).first; },
        [&] { return edge_attention(q, k, v, edge); });
  }
}

TEST(FlopCount, OfLinearAttentionIsThatOfItsLoops) {
  const Index m = 5;
  const at::Tensor qkv = random({kRows, 3 * kWidth}), projection = random({m, kChannels});
  expect_counted(
      Work::kAttention, [&] { return ops::linear_attention(qkv, projection, starts(), kHeads); },
      [&] { return linear_attention(qkv, projection); });
}

// out_i from what `message` makes of every edge into i.
at::Tensor over_edges(Mat out, const std::function<Num(Index p, Index j, Index c)>& message) {
  const ops::EdgeIndex e = edges();
  for (Index p = 0; p < e.count(); ++p) {
    const Index i = at_row(e.target, p), j = at_row(e.source, p);
    for (Index c = 0; c < kWidth; ++c) out(i, c) = out(i, c) + message(p, j, c);
  }
  return out.tensor({kRows, kWidth});
}

TEST(FlopCount, OfMessagesIsThatOfTheirLoops) {
  const ops::EdgeIndex e = edges();
  const at::Tensor x = random({kRows, kWidth}), edge = random({e.count(), kWidth});
  const at::Tensor self = random({kRows}), weight = random({e.count()});
  Mat mx(x), me(edge), ms(self), mw(weight);
  expect_counted(
      Work::kMessage, [&] { return ops::gine_aggregate(x, edge, e); },
      [&] {
        return over_edges(
            mx, [&](Index p, Index j, Index c) { return larger(mx(j, c) + me(p, c), 0); });
      });
  expect_counted(
      Work::kMessage, [&] { return ops::weighted_aggregate(x, self, weight, e); },
      [&] {
        Mat out(kRows, kWidth);
        for (Index i = 0; i < kRows; ++i) {
          for (Index c = 0; c < kWidth; ++c) out(i, c) = ms(i) * mx(i, c);
        }
        return over_edges(out, [&](Index p, Index j, Index c) { return mw(p) * mx(j, c); });
      });
  const at::Tensor abde = random({kRows, 4 * kWidth});
  expect_counted(
      Work::kMessage, [&] { return ops::gated_gcn(abde, edge, e).first; },
      [&] {
        Mat a = part_of(abde, 0), b = part_of(abde, 1), d = part_of(abde, 2), s = part_of(abde, 3);
        Mat sum(kRows, kWidth), gates(kRows, kWidth);
        for (Index p = 0; p < e.count(); ++p) {
          const Index i = at_row(e.target, p), j = at_row(e.source, p);
          for (Index c = 0; c < kWidth; ++c) {
            const Num gate = Num(1) / (Num(1) + exp(-(d(i, c) + s(j, c) + me(p, c))));
            sum(i, c) = sum(i, c) + gate * b(j, c);
            gates(i, c) = gates(i, c) + gate;
          }
        }
        for (Index i = 0; i < kRows; ++i) {
          for (Index c = 0; c < kWidth; ++c) {
            sum(i, c) = a(i, c) + sum(i, c) / (gates(i, c) + Num(1e-6));
          }
        }
        return sum.tensor({kRows, kWidth});
      });
}

TEST(FlopCount, OfSegmentsIsThatOfTheirLoops) {
  const at::Tensor x = random({kRows, kWidth}), start = at::tensor({0, 4, 5, 9}, at::kLong);
  const ops::RowIndex index = ops::row_index(at::tensor({2, 0, 2, 1, 1, 2, 0, 0, 2}, at::kLong), 3);
  Mat mx(x);
  const auto sums = [&](const std::function<Index(Index)>& group) {
    Mat out(3, kWidth);
    for (Index i = 0; i < kRows; ++i) {
      for (Index c = 0; c < kWidth; ++c) out(group(i), c) = out(group(i), c) + mx(i, c);
    }
    return out;
  };
  const auto segment = [](Index i) -> Index { return i < 4 ? 0 : i < 5 ? 1 : 2; };
  expect_counted(
      Work::kMessage, [&] { return ops::segment_sum(x, start); },
      [&] {
        return sums(segment).tensor({3, kWidth});
      });
  expect_counted(
      Work::kMessage, [&] { return ops::scatter_add(x, index); },
      [&] {
        return sums([&](Index i) { return at_row(index.index, i); }).tensor({3, kWidth});
      });
  expect_counted(
      Work::kMessage, [&] { return ops::segment_mean(x, start); },
      [&] {
        Mat out = sums(segment);
        for (Index g = 0; g < 3; ++g) {
          const auto rows = static_cast<double>(at_row(start, g + 1) - at_row(start, g));
          for (Index c = 0; c < kWidth; ++c) out(g, c) = out(g, c) / Num(rows);
        }
        return out.tensor({3, kWidth});
      });
  expect_counted(
      Work::kMessage, [&] { return ops::segment_max(x, start); },
      [&] {
        Mat out(at::full({3, kWidth}, -std::numeric_limits<double>::infinity(), at::kDouble));
        for (Index i = 0; i < kRows; ++i) {
          for (Index c = 0; c < kWidth; ++c)
            out(segment(i), c) = larger(out(segment(i), c), mx(i, c));
        }
        return out.tensor({3, kWidth});
      });
}

TEST(FlopCount, OfNormsIsThatOfTheirLoops) {
  const at::Tensor x = random({kRows, kWidth}), r = random({kRows, kWidth}), w = random({kWidth}),
                   b = random({kWidth}), mean = random({kWidth});
  const at::Tensor variance = random({kWidth}).abs();
  Mat weight(w), bias(b);
  const auto sum = [&] {
    Mat a(x), other(r);
    for (std::size_t i = 0; i < a.values.size(); ++i) a.values[i] = a.values[i] + other.values[i];
    return a;
  };
  expect_counted(
      Work::kNorm, [&] { return ops::layer_norm(x, r, w, b); },
      [&] {
        Mat out = sum();
        for (Index i = 0; i < kRows; ++i) normalise(out, weight, bias, i, i + 1);
        return out.tensor({kRows, kWidth});
      });
  expect_counted(
      Work::kNorm, [&] { return ops::graph_norm(x, r, w, b, starts()); },
      [&] {
        Mat out = sum();
        for (Index g = 0; g < 4; ++g) {
          const Index begin = at_row(starts(), g), end = at_row(starts(), g + 1);
          if (end > begin) normalise(out, weight, bias, begin, end);
        }
        return out.tensor({kRows, kWidth});
      });
  expect_counted(
      Work::kNorm,
      [&] {
        return ops::batch_norm(x, r, {w, b, mean, variance}, false);
      },
      [&] {
        const at::Tensor scale = w / at::sqrt(variance + 1e-5);
        Mat out = sum(), times(scale), shift(b - mean * scale);  // constants of the trained layer
        for (Index i = 0; i < kRows; ++i) {
          for (Index c = 0; c < kWidth; ++c) out(i, c) = out(i, c) * times(c) + shift(c);
        }
        return out.tensor({kRows, kWidth});
      });
}

TEST(FlopCount, OfActivationsIsThatOfTheirLoops) {
  const at::Tensor x = random({kRows, kWidth}), r = random({kRows, kWidth}), b = random({kWidth});
  const auto loops = [&](const std::function<Num(Num)>& f, bool biased) {
    Mat out(x), other(r), bias(b);
    for (Index i = 0; i < kRows; ++i) {
      for (Index c = 0; c < kWidth; ++c) {
        const Num n = biased ? out(i, c) + bias(c) : out(i, c);
        out(i, c) = biased ? other(i, c) + f(n) : f(n);
      }
    }
    return out.tensor({kRows, kWidth});
  };
  const auto gelu = [](Num n) { return n * Num(0.5) * (Num(1) + erf(n * Num(std::sqrt(0.5)))); };
  const auto relu = [](Num n) { return larger(n, 0); };
  const auto sigmoid = [](Num n) { return Num(1) / (Num(1) + exp(-n)); };
  using Activation = ops::RowActivation;
  expect_counted(
      Work::kElement, [&] { return ops::activate_rows(x, b, {Activation::kGelu}, r); },
      [&] { return loops(gelu, true); });
  expect_counted(
      Work::kElement, [&] { return ops::activate_rows(x, b, {Activation::kRelu}, r); },
      [&] { return loops(relu, true); });
  expect_counted(
      Work::kElement, [&] { return at::gelu(x); }, [&] { return loops(gelu, false); });
  expect_counted(
      Work::kElement, [&] { return at::sigmoid(x); }, [&] { return loops(sigmoid, false); });
}

double counted(const std::function<void()>& run) {
  const ops::FlopCount count;
  run();
  EXPECT_TRUE(count.unknown().empty());
  return count.total().total();
}

TEST(FlopCount, KnowsTorchsOperators) {
  const at::Tensor a = random({2, 3, 4}), b = random({4, 5}), row = random({4}), bias = random({5});
  EXPECT_EQ(counted([&] { at::matmul(a, b); }), 2 * 6 * 4 * 5);
  EXPECT_EQ(counted([&] { at::bmm(a, random({2, 4, 7})); }), 2 * 2 * 3 * 4 * 7);
  EXPECT_EQ(counted([&] { at::linear(a, b.t(), bias); }), 2 * 6 * 4 * 5 + 6 * 5);
  EXPECT_EQ(counted([&] { at::addmm(bias, a[0], b); }), 2 * 3 * 4 * 5 + 3 * 5);
  EXPECT_EQ(counted([&] { at::einsum("bij,jk->bik", {a, b}); }), 2 * 6 * 4 * 5);
  EXPECT_EQ(counted([&] { a + row; }), 24);
  EXPECT_EQ(counted([&] { at::softmax(a, 2); }), 5 * 24);
  EXPECT_EQ(counted([&] { a.sum(1); }), 24);
  EXPECT_EQ(counted([&] { at::index_add(b, 0, at::tensor({1, 3}), random({2, 5})); }), 10);
  EXPECT_EQ(counted([&] { at::cat({a, a}).transpose(0, 1).index_select(0, at::tensor({1})); }), 0);
  EXPECT_EQ(counted([&] { at::arange(5) + at::arange(5).cumsum(0); }), 0);
}

TEST(FlopCount, NamesWhatItDoesNotKnow) {
  const ops::FlopCount count;
  at::lgamma(random({3}));
  EXPECT_EQ(count.unknown(), (std::set<std::string>{"aten::lgamma"}));
  EXPECT_EQ(count.total().total(), 0);
}

TEST(FlopCount, PutsWorkDownToTheLayerOfItsParameterElseToTheInnermostScope) {
  const at::Tensor x = random({2, 3}), w = random({4, 3});
  torch::nn::Module outer, inner;
  ops::FlopCount count;
  count.name(w, "a.linear");
  count.name(outer, "a");
  count.name(inner, "a.inner");
  ops::linear(x, w, {});
  x + x;
  {
    const ops::FlopScope scope(outer);
    x + x;
    {
      const ops::FlopScope within(inner);
      ops::linear(x, w, {});
      x + x;
    }
    x + x;
  }
  EXPECT_EQ(count.modules().at("a.linear").total(), 2 * 48);
  EXPECT_EQ(count.modules().at("a").total(), 12);
  EXPECT_EQ(count.modules().at("a.inner").total(), 6);
  EXPECT_EQ(count.modules().at("").total(), 6);
}

TEST(FlopCount, KnowsWhatZerosOfAWeightWouldSave) {
  const at::Tensor x = random({5, 3}), w = random({4, 3}), b = random({4});
  w[0].zero_();
  w[2][1] = 0;
  ops::FlopCount count;
  count.name(w, "linear");
  ops::linear(x, w, b);
  EXPECT_EQ(count.total().zeros, 2 * 5 * 4);
  EXPECT_EQ(count.total().sparse(), 2 * 5 * 8 + 5 * 4);
  w[3].zero_();
  ops::linear(x, w, b);
  EXPECT_EQ(count.total().zeros, 2 * 5 * 4 + 2 * 5 * 7);
}

TEST(FlopCount, EndsWithItsLife) {
  const at::Tensor x = random({5, 3});
  { const ops::FlopCount count; }
  x + x;
  const ops::FlopCount count;
  EXPECT_EQ(count.total().total(), 0);
  EXPECT_THROW(ops::FlopCount(), c10::Error);
}

}  // namespace
}  // namespace gtrain

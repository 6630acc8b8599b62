// Plain loops on numbers that count their own operations, and matrices of them: what an op's count
// is judged by (flop_count_test.cpp).
#pragma once

#include <ATen/ATen.h>

#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "gtrain/ops/edge_index.h"
#include "gtrain/ops/gather.h"
#include "support/edge_batch.h"

namespace gtrain::flop_loop {

using Index = std::int64_t;

struct Num {
  Num(double value = 0) : v(value) {}  // NOLINT: a literal is a number
  double v;
  inline static double done = 0;
};
inline Num made(double v) {
  Num::done += 1;
  return v;
}
inline Num operator+(Num a, Num b) { return made(a.v + b.v); }
inline Num operator-(Num a, Num b) { return made(a.v - b.v); }
inline Num operator*(Num a, Num b) { return made(a.v * b.v); }
inline Num operator/(Num a, Num b) { return made(a.v / b.v); }
inline Num operator-(Num a) { return -a.v; }
inline Num larger(Num a, Num b) { return made(std::max(a.v, b.v)); }
inline Num smaller(Num a, Num b) { return made(std::min(a.v, b.v)); }
inline Num exp(Num a) { return made(std::exp(a.v)); }
inline Num sqrt(Num a) { return made(std::sqrt(a.v)); }
inline Num erf(Num a) { return made(std::erf(a.v)); }

// A matrix, read and written without being counted.
struct Mat {
  explicit Mat(const at::Tensor& t) : columns(t.dim() > 1 ? t.size(1) : 1) {
    const at::Tensor flat = t.to(at::kDouble).contiguous();
    const double* p = flat.const_data_ptr<double>();
    for (Index i = 0; i < flat.numel(); ++i) values.emplace_back(p[i]);
  }
  Mat(Index rows, Index n) : values(static_cast<std::size_t>(rows * n)), columns(n) {}
  Num& operator()(Index i, Index j = 0) {
    return values[static_cast<std::size_t>(i * columns + j)];
  }
  at::Tensor tensor(at::IntArrayRef sizes) const {
    std::vector<double> plain;
    for (const Num& n : values) plain.push_back(n.v);
    return at::tensor(plain, at::kDouble).view(sizes);
  }
  std::vector<Num> values;
  Index columns;
};

const Index kHeads = 2, kChannels = 3, kWidth = 6;
inline at::Tensor starts() { return at::tensor({0, 4, 4, 5, 9}, at::kLong); }
const Index kRows = 9;
inline at::Tensor random(std::vector<Index> sizes) { return at::randn(sizes, at::kDouble); }
inline Index at_row(const at::Tensor& t, Index i) { return t[i].item<Index>(); }

inline ops::EdgeIndex edges() {
  const ops::RowIndex into =
      ops::row_index(at::tensor({0, 1, 1, 2, 2, 2, 6, 6, 7, 8}, at::kLong), kRows);
  const ops::RowIndex from =
      ops::row_index(at::tensor({1, 0, 2, 0, 1, 3, 5, 8, 6, 7}, at::kLong), kRows);
  return {from.index, into.index, into.start, from.start, from.position};
}

// Softmax attention of row i over `columns` with biases added to the scores.
using Biases = std::function<std::vector<Num>(std::size_t pair, Index head)>;
inline void attend(Mat& q, Mat& k, Mat& v, Index i, const std::vector<Index>& columns,
                   const Biases& biases, Mat& out) {
  for (Index h = 0; h < kHeads; ++h) {
    std::vector<Num> score;
    Num largest = -std::numeric_limits<double>::infinity(), sum = 0;
    for (std::size_t p = 0; p < columns.size(); ++p) {
      Num s = 0;
      for (Index c = h * kChannels; c < (h + 1) * kChannels; ++c)
        s = s + q(i, c) * k(columns[p], c);
      s = s * Num(1 / std::sqrt(static_cast<double>(kChannels)));
      for (const Num& b : biases(p, h)) s = s + b;
      largest = larger(largest, s);
      score.push_back(s);
    }
    for (Num& s : score) {
      s = exp(s - largest);
      sum = sum + s;
    }
    for (std::size_t p = 0; p < columns.size(); ++p) {
      const Num weight = score[p] / sum;
      for (Index c = h * kChannels; c < (h + 1) * kChannels; ++c) {
        out(i, c) = out(i, c) + weight * v(columns[p], c);
      }
    }
  }
}

inline Mat part_of(const at::Tensor& t, Index part) {
  return Mat(t.slice(1, part * kWidth, (part + 1) * kWidth));
}

// phi of the rows [begin, end) of one head; `own`: every row's own maximum, else that of all.
inline Mat features(Mat& x, Mat& w, Index begin, Index end, Index head, bool own) {
  const Index m = static_cast<Index>(w.values.size()) / kChannels;
  const double s = std::pow(static_cast<double>(kChannels), -0.25);
  Mat u(end - begin, m), half(end - begin, 1), most(end - begin, 1);
  Num all = -std::numeric_limits<double>::infinity();
  for (Index i = 0; i < end - begin; ++i) {
    std::vector<Num> scaled;
    most(i) = -std::numeric_limits<double>::infinity();
    for (Index c = 0; c < kChannels; ++c) {
      const Num value = x(begin + i, head * kChannels + c);
      scaled.push_back(value * Num(s));
      half(i) = half(i) + value * value;
    }
    half(i) = half(i) * Num(s * s / 2);
    for (Index f = 0; f < m; ++f) {
      for (Index c = 0; c < kChannels; ++c) {
        u(i, f) = u(i, f) + scaled[static_cast<std::size_t>(c)] * w(f, c);
      }
      Num& largest = own ? most(i) : all;
      largest = larger(largest, u(i, f));
    }
  }
  for (Index i = 0; i < end - begin; ++i) {
    for (Index f = 0; f < m; ++f) {
      u(i, f) = (exp(u(i, f) - half(i) - (own ? most(i) : all)) + Num(1e-4)) *
                Num(1 / std::sqrt(static_cast<double>(m)));
    }
  }
  return u;
}

// edge_attention.h over edges(); undefined edge vectors are ones.
inline at::Tensor edge_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                 const at::Tensor& edge) {
  const bool with = edge.defined();
  const ops::EdgeIndex e = edges();
  Mat a(q), b(k), c(v), w(with ? edge : at::zeros({1, 1})), out(kRows, kWidth);
  for (Index i = 0; i < kRows; ++i) {
    for (Index h = 0; h < kHeads; ++h) {
      const Index from = h * kChannels, to = from + kChannels;
      Num sum = 0;
      for (Index p = at_row(e.in_start, i); p < at_row(e.in_start, i + 1); ++p) {
        const Index j = at_row(e.source, p);
        Num s = 0;
        for (Index x = from; x < to; ++x) {
          Num t = a(i, x) * b(j, x) * Num(1 / std::sqrt(static_cast<double>(kChannels)));
          if (with) t = t * w(p, x);
          s = s + t;
        }
        const Num weight = exp(smaller(larger(s, -5), 5));
        sum = sum + weight;
        for (Index x = from; x < to; ++x) out(i, x) = out(i, x) + weight * c(j, x);
      }
      sum = sum + Num(1e-6);
      for (Index x = from; x < to; ++x) out(i, x) = out(i, x) / sum;
    }
  }
  return out.tensor({kRows, kWidth});
}

// linear_attention.h over starts(), by way of the state.
inline at::Tensor linear_attention(const at::Tensor& qkv, const at::Tensor& projection) {
  const Index m = projection.size(0);
  Mat q = part_of(qkv, 0), k = part_of(qkv, 1), v = part_of(qkv, 2), w(projection);
  Mat out(kRows, kWidth);
  for (Index g = 0; g < 4; ++g) {
    const Index begin = at_row(starts(), g), end = at_row(starts(), g + 1);
    for (Index h = 0; h < kHeads; ++h) {
      Mat pq = features(q, w, begin, end, h, true), pk = features(k, w, begin, end, h, false);
      Mat state(m, kChannels), weight(m, 1);
      for (Index j = 0; j < end - begin; ++j) {
        for (Index f = 0; f < m; ++f) {
          weight(f) = weight(f) + pk(j, f);
          for (Index c = 0; c < kChannels; ++c) {
            state(f, c) = state(f, c) + pk(j, f) * v(begin + j, h * kChannels + c);
          }
        }
      }
      for (Index i = 0; i < end - begin; ++i) {
        Num sum = 0;
        for (Index f = 0; f < m; ++f) sum = sum + pq(i, f) * weight(f);
        for (Index c = 0; c < kChannels; ++c) {
          Num value = 0;
          for (Index f = 0; f < m; ++f) value = value + pq(i, f) * state(f, c);
          out(begin + i, h * kChannels + c) = value / sum;
        }
      }
    }
  }
  return out.tensor({kRows, kWidth});
}

// (x - mean) / deviation * w + b over the numbers `each` visits, in one group.
inline void normalise(Mat& x, Mat& w, Mat& b, Index begin, Index end) {
  const double count = static_cast<double>((end - begin) * kWidth);
  Num mean = 0, variance = 0;
  const auto each = [&](const std::function<void(Num&, Index)>& f) {
    for (Index i = begin; i < end; ++i) {
      for (Index c = 0; c < kWidth; ++c) f(x(i, c), c);
    }
  };
  each([&](Num& n, Index) { mean = mean + n; });
  mean = mean / Num(count);
  each([&](Num& n, Index) {
    n = n - mean;
    variance = variance + n * n;
  });
  const Num deviation = sqrt(variance / Num(count) + Num(1e-5));
  each([&](Num& n, Index c) { n = n / deviation * w(c) + b(c); });
}

}  // namespace gtrain::flop_loop

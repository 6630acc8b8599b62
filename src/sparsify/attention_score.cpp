#include "gtrain/sparsify/attention_score.h"

#include <ATen/ATen.h>
#include <tbb/parallel_for.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "gtrain/ops/flop_note.h"
#include "gtrain/ops/gather.h"
#include "gtrain/ops/linear.h"
#include "gtrain/sparsify/compact.h"

namespace gtrain::sparsify {
namespace {

struct Scores {
  std::int64_t heads, width;         // of all heads
  std::vector<std::int64_t> living;  // those that score
  const double* qk;                  // [N, 2 width]: q | k
  const std::uint8_t* hops;          // [P] or null
  const double* table;               // [buckets, H]
  const double* pair;                // [P, H] or null
};

// Softmax weights of row i over the n nodes of its graph, added to `out` with 1/H each.
void add_row(const Scores& s, std::int64_t first, std::int64_t n, std::int64_t i, std::int64_t pair,
             double* out, std::vector<double>& row) {
  const std::int64_t d = s.width / s.heads;
  const double scale = 1 / std::sqrt(static_cast<double>(d));
  for (const std::int64_t h : s.living) {
    const double* q = s.qk + (first + i) * 2 * s.width + h * d;
    double most = -std::numeric_limits<double>::infinity();
    for (std::int64_t j = 0; j < n; ++j) {
      const double* k = s.qk + (first + j) * 2 * s.width + s.width + h * d;
      double v = 0;
      for (std::int64_t c = 0; c < d; ++c) v += q[c] * k[c];
      v *= scale;
      if (s.hops != nullptr) v += s.table[s.hops[pair + j] * s.heads + h];
      if (s.pair != nullptr) v += s.pair[(pair + j) * s.heads + h];
      row[static_cast<std::size_t>(j)] = v;
      most = std::max(most, v);
    }
    if (!std::isfinite(most)) continue;  // nothing to attend to
    double total = 0;
    for (std::int64_t j = 0; j < n; ++j) {
      double& v = row[static_cast<std::size_t>(j)];
      v = std::exp(v - most);
      total += v;
    }
    const double share = 1 / (total * static_cast<double>(s.living.size()));
    for (std::int64_t j = 0; j < n; ++j) out[j] += row[static_cast<std::size_t>(j)] * share;
  }
}

// The bias of the heads that a cut attention has left.
at::Tensor of_heads(const at::Tensor& bias, const at::Tensor& kept) {
  return bias.defined() && kept.defined() ? bias.index_select(1, kept) : bias;
}

// Per pair and head: 2 d of the score, scale, biases, largest, difference, exp, sum and 2 of the
// mean; per row and head 2 of the quotient.
void note_scores(const Scores& s, double pairs, double rows) {
  const auto heads = static_cast<double>(s.living.size());
  const double d = static_cast<double>(s.width) / static_cast<double>(s.heads);
  const double added = (s.table != nullptr ? 1 : 0) + (s.pair != nullptr ? 1 : 0);
  ops::note_flops(ops::Work::kAttention,
                  pairs * (2 * d * heads + (7 + added) * heads) + 2 * rows * heads);
}

at::Tensor doubles(const at::Tensor& t) {
  return t.defined() ? t.detach().to(at::kDouble).contiguous() : t;
}

const double* data_of(const at::Tensor& t) {
  return t.defined() ? t.const_data_ptr<double>() : nullptr;
}

at::Tensor pair_starts(const at::Tensor& graph_start) {
  const at::Tensor out = at::zeros_like(graph_start);
  const auto* s = graph_start.const_data_ptr<std::int64_t>();
  auto* p = out.mutable_data_ptr<std::int64_t>();
  for (std::int64_t g = 0; g + 1 < graph_start.size(0); ++g) {
    p[g + 1] = p[g] + (s[g + 1] - s[g]) * (s[g + 1] - s[g]);
  }
  return out;
}

}  // namespace

AttentionGraph attention_graph(const nn::Attention& attention, const nn::GlobalInput& input) {
  const at::NoGradGuard guard;
  const std::int64_t d = attention.in_weight.size(0) / 3;  // of the heads that are left
  const at::Tensor qk =
      doubles(ops::linear(input.x.detach(), attention.in_weight.slice(0, 0, 2 * d),
                          attention.in_bias.slice(0, 0, 2 * d)));
  const at::Tensor hops = input.bias.hops.defined() ? input.bias.hops.contiguous() : at::Tensor();
  const auto buffers = attention.named_buffers(false);
  const at::Tensor* found = buffers.find("kept_heads");
  const at::Tensor kept = found != nullptr ? *found : at::Tensor();
  const at::Tensor table = doubles(of_heads(input.bias.table, kept)),
                   pair = doubles(of_heads(input.bias.pair, kept));
  AttentionGraph out{
      {}, pair_starts(input.graph_start.contiguous()), input.graph_start.contiguous()};
  const auto* start = out.graph_start.const_data_ptr<std::int64_t>();
  const auto* pairs = out.pair_start.const_data_ptr<std::int64_t>();
  const std::int64_t graphs = out.graph_start.size(0) - 1;
  out.weight = at::zeros({pairs[graphs]}, at::kDouble);
  auto* weight = out.weight.mutable_data_ptr<double>();
  const Scores s{attention.parts().heads,
                 d,
                 living_heads(attention),
                 qk.const_data_ptr<double>(),
                 hops.defined() ? hops.const_data_ptr<std::uint8_t>() : nullptr,
                 data_of(table),
                 data_of(pair)};
  note_scores(s, static_cast<double>(pairs[graphs]), static_cast<double>(start[graphs]));
  tbb::parallel_for(std::int64_t{0}, graphs, [&](std::int64_t g) {
    const std::int64_t n = start[g + 1] - start[g];
    std::vector<double> row(static_cast<std::size_t>(n));
    for (std::int64_t i = 0; i < n; ++i) {
      const std::int64_t at = pairs[g] + i * n;
      add_row(s, start[g], n, i, at, weight + at, row);
    }
  });
  return out;
}

at::Tensor page_rank(const AttentionGraph& graph, std::int64_t iterations) {
  const auto* start = graph.graph_start.const_data_ptr<std::int64_t>();
  const auto* pairs = graph.pair_start.const_data_ptr<std::int64_t>();
  const auto* weight = graph.weight.const_data_ptr<double>();
  const std::int64_t graphs = graph.graph_start.size(0) - 1;
  const at::Tensor out = at::zeros({start[graphs]}, at::kDouble);
  auto* score = out.mutable_data_ptr<double>();
  ops::note_flops(ops::Work::kAttention,
                  2 * static_cast<double>(iterations) * static_cast<double>(pairs[graphs]));
  tbb::parallel_for(std::int64_t{0}, graphs, [&](std::int64_t g) {
    const std::int64_t n = start[g + 1] - start[g];
    std::vector<double> now(static_cast<std::size_t>(n), 1 / std::max(1.0, static_cast<double>(n)));
    for (std::int64_t t = 0; t < iterations; ++t) {
      std::vector<double> next(now.size(), 0.0);
      for (std::int64_t i = 0; i < n; ++i) {
        const double* row = weight + pairs[g] + i * n;
        for (std::int64_t j = 0; j < n; ++j) {
          next[static_cast<std::size_t>(j)] += row[j] * now[static_cast<std::size_t>(i)];
        }
      }
      now = std::move(next);
    }
    std::copy(now.begin(), now.end(), score + start[g]);
  });
  return out;
}

at::Tensor left_behind(const AttentionGraph& graph, const at::Tensor& x, const nn::KeptRows& kept) {
  const auto* start = graph.graph_start.const_data_ptr<std::int64_t>();
  const auto* pairs = graph.pair_start.const_data_ptr<std::int64_t>();
  const auto* weight = graph.weight.const_data_ptr<double>();
  const auto* rows = kept.rows.index.const_data_ptr<std::int64_t>();
  const auto* kept_start = kept.graph_start.const_data_ptr<std::int64_t>();
  std::vector<std::int64_t> to, from;  // kept row by its number, row that left
  std::vector<double> share;
  for (std::int64_t g = 0; g + 1 < graph.graph_start.size(0); ++g) {
    const std::int64_t n = start[g + 1] - start[g];
    std::vector<bool> stays(static_cast<std::size_t>(n), false);
    for (std::int64_t k = kept_start[g]; k < kept_start[g + 1]; ++k) {
      stays[static_cast<std::size_t>(rows[k] - start[g])] = true;
    }
    for (std::int64_t k = kept_start[g]; k < kept_start[g + 1]; ++k) {
      const double* row = weight + pairs[g] + (rows[k] - start[g]) * n;
      for (std::int64_t j = 0; j < n; ++j) {
        if (stays[static_cast<std::size_t>(j)]) continue;
        to.push_back(k);
        from.push_back(start[g] + j);
        share.push_back(row[j]);
      }
    }
  }
  const at::Tensor scale = at::tensor(share, at::kDouble).to(x.scalar_type()).view({-1, 1});
  const at::Tensor sent = ops::gather(x, ops::row_index(at::tensor(from, at::kLong), x.size(0)));
  return ops::scatter_add(sent * scale,
                          ops::row_index(at::tensor(to, at::kLong), kept.rows.count()));
}

}  // namespace gtrain::sparsify

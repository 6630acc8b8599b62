#include "gtrain/nn/sparsity_gate.h"

#include <ATen/ATen.h>

#include <string>
#include <utility>
#include <vector>

namespace gtrain::nn {
namespace {

// Pair numbers of the kept rows' pairs among all pairs, and where each graph's begin.
struct Pairs {
  at::Tensor index;  // int64 [P']
  at::Tensor start;  // int64 [G+1]
};

Pairs kept_pairs(const at::Tensor& graph_start, const KeptRows& kept) {
  const at::Tensor all = graph_start.contiguous(), part = kept.graph_start.contiguous();
  const std::int64_t graphs = all.size(0) - 1;
  const auto* a = all.const_data_ptr<std::int64_t>();
  const auto* k = part.const_data_ptr<std::int64_t>();
  const at::Tensor row_index = kept.rows.index.contiguous();
  const auto* row = row_index.const_data_ptr<std::int64_t>();
  Pairs out{{}, at::zeros({graphs + 1}, at::kLong)};
  auto* start = out.start.mutable_data_ptr<std::int64_t>();
  for (std::int64_t g = 0; g < graphs; ++g) {
    const std::int64_t m = k[g + 1] - k[g];
    start[g + 1] = start[g] + m * m;
  }
  out.index = at::empty({start[graphs]}, at::kLong);
  auto* p = out.index.mutable_data_ptr<std::int64_t>();
  std::int64_t first = 0;  // pair of all
  for (std::int64_t g = 0; g < graphs; ++g) {
    const std::int64_t n = a[g + 1] - a[g];
    for (std::int64_t i = k[g]; i < k[g + 1]; ++i) {
      const std::int64_t base = first + (row[i] - a[g]) * n - a[g];
      for (std::int64_t j = k[g]; j < k[g + 1]; ++j) *p++ = base + row[j];
    }
    first += n * n;
  }
  return out;
}

}  // namespace

GlobalInput restricted(const GlobalInput& input, const KeptRows& kept) {
  GlobalInput out = input;
  if (kept.rows.index.defined()) {
    out.x = ops::gather(input.x, kept.rows);
    out.graph_start = kept.graph_start;
    const ops::AttentionBias& bias = input.bias;
    if (bias.hops.defined() || bias.pair.defined()) {
      const Pairs pairs = kept_pairs(input.graph_start, kept);
      out.bias.pair_start = pairs.start;
      if (bias.hops.defined()) out.bias.hops = bias.hops.index_select(0, pairs.index);
      if (bias.pair.defined()) {
        out.bias.pair =
            ops::gather(bias.pair.contiguous(), ops::row_index(pairs.index, bias.pair.size(0)));
      }
    }
  }
  if (kept.scale.defined()) out.x = out.x * kept.scale;
  if (kept.added.defined()) out.x = out.x + kept.added;
  return out;
}

KeptPairs restricted(const ops::AttentionPattern& all, const KeptRows& kept) {
  const ops::AttentionPattern pattern = ops::listed(all);
  const std::int64_t rows = pattern.rows(), count = kept.rows.count();
  std::vector<std::int32_t> place(static_cast<std::size_t>(rows), -1);  // among the kept
  const at::Tensor index = kept.rows.index.contiguous();
  const auto* row = index.const_data_ptr<std::int64_t>();
  for (std::int64_t k = 0; k < count; ++k) {
    place[static_cast<std::size_t>(row[k])] = static_cast<std::int32_t>(k);
  }
  const auto* start = pattern.row_start.const_data_ptr<std::int64_t>();
  const auto* column = pattern.column.const_data_ptr<std::int32_t>();
  std::vector<std::int64_t> pairs;
  std::vector<std::int32_t> columns;
  const at::Tensor row_start = at::zeros({count + 1}, at::kLong);
  for (std::int64_t k = 0; k < count; ++k) {
    for (std::int64_t p = start[row[k]]; p < start[row[k] + 1]; ++p) {
      const std::int32_t to = place[static_cast<std::size_t>(column[p])];
      if (to < 0) continue;
      pairs.push_back(p);
      columns.push_back(to);
    }
    row_start.mutable_data_ptr<std::int64_t>()[k + 1] = static_cast<std::int64_t>(pairs.size());
  }
  const at::Tensor chosen = at::tensor(pairs, at::kLong);
  const at::Tensor type =
      pattern.type.defined() ? pattern.type.index_select(0, chosen) : at::Tensor();
  return {ops::csr_pattern(kept.graph_start, row_start, at::tensor(columns, at::kInt), count, type,
                           pattern.types),
          ops::row_index(chosen, pattern.pairs())};
}

std::optional<KeptPairRows> Gated::keep_rows(PairRows& rows, const at::Tensor& graph_start,
                                             Context& context) const {
  if (!token_gate) return std::nullopt;
  const GlobalInput input{.x = rows.x, .graph_start = graph_start};
  const std::optional<KeptRows> kept = token_gate->choose(input, context);
  if (!kept) return std::nullopt;
  rows.x = restricted(input, *kept).x;
  if (!kept->rows.index.defined()) return std::nullopt;
  KeptPairRows out{*kept, {}};
  for (std::size_t i = 0; i < rows.patterns.size(); ++i) {
    KeptPairs pairs = restricted(rows.patterns[i], *kept);
    rows.patterns[i] = std::move(pairs.pattern);
    if (i == 0) out.edges = std::move(pairs.pairs);
  }
  if (rows.edge.defined()) rows.edge = ops::gather(rows.edge, out.edges);
  return out;
}

at::Tensor Gated::gate_attended(const at::Tensor& attended, const std::optional<KeptPairRows>& kept,
                                const at::Tensor& graph_start, Context& context) const {
  const at::Tensor& start = kept ? kept->rows.graph_start : graph_start;
  at::Tensor out = gate_heads(attended, start, context);
  if (kept) out = ops::scatter_add(out, kept->rows.rows);
  if (!branch_gate) return out;
  if (branch_gate->closed(context)) return at::zeros_like(out);
  return branch_gate->through(out, graph_start, context);
}

std::string Gated::attended_script() const {
  std::string text;
  if (token_gate)
    text += "    assert False, \"tokens: attention over pairs has no exported form\"\n";
  if (head_gate) text += "    mixed = self.head_gate.forward(mixed)\n";
  if (branch_gate) text += "    mixed = self.branch_gate.forward(mixed)\n";
  return text;
}

at::Tensor FeedGated::gate_feed(const at::Tensor& x, const at::Tensor& graph_start,
                                Context& context,
                                const std::function<at::Tensor(const at::Tensor&)>& feed) const {
  if (!feed_gate) return feed(x);
  if (feed_gate->closed(context)) return at::zeros_like(x);
  return feed_gate->through(feed(x), graph_start, context);
}

at::Tensor Gated::through_gates(const GlobalInput& input, Context& context,
                                const std::function<at::Tensor(const GlobalInput&)>& attend) const {
  if (branch_gate && branch_gate->closed(context)) return at::zeros_like(input.x);
  std::optional<KeptRows> kept;
  if (token_gate) kept = token_gate->choose(input, context);
  GlobalInput inner = kept ? restricted(input, *kept) : input;
  std::optional<KeptPairs> pairs;
  if (kept && kept->rows.index.defined() && input.pattern != nullptr) {
    pairs = restricted(*input.pattern, *kept);
    inner.pattern = &pairs->pattern;
  }
  at::Tensor out = attend(inner);
  if (kept && kept->rows.index.defined()) out = ops::scatter_add(out, kept->rows);
  if (head_gate) head_gate->observe(out, input.graph_start, context);
  return branch_gate ? branch_gate->through(out, input.graph_start, context) : out;
}

}  // namespace gtrain::nn

#include "gtrain/nn/sparsity_gate.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <string>
#include <utility>
#include <vector>

#include "gtrain/nn/leaving.h"

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
        // Head by head, which is how attention reads it.
        const at::Tensor heads = bias.pair.t(), index = pairs.index.to(heads.device());
        out.bias.pair = at::gather(heads, 1, index.expand({heads.size(0), index.size(0)})).t();
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

namespace {

// Leaves the kept rows and their pairs; the pairs of the first pattern that are left.
ops::RowIndex restrict_pairs(PairRows& rows, const GlobalInput& input, const KeptRows& kept) {
  rows.x = restricted(input, kept).x;
  ops::RowIndex first;
  for (std::size_t i = 0; i < rows.patterns.size(); ++i) {
    KeptPairs pairs = restricted(rows.patterns[i], kept);
    rows.patterns[i] = std::move(pairs.pattern);
    if (i == 0) first = std::move(pairs.pairs);
  }
  if (rows.edge.defined()) rows.edge = ops::gather(rows.edge, first);
  return first;
}

}  // namespace

std::optional<KeptPairRows> Gated::keep_rows(PairRows& rows, const at::Tensor& graph_start,
                                             Context& context) const {
  if (!token_gate) return std::nullopt;
  const GlobalInput input{.x = rows.x, .graph_start = graph_start};
  const std::optional<KeptRows> kept = token_gate->choose({input}, context);
  if (!kept) return std::nullopt;
  if (kept->rows.index.defined()) return KeptPairRows{*kept, restrict_pairs(rows, input, *kept)};
  rows.x = restricted(input, *kept).x;
  return std::nullopt;
}

void Gated::leave_rows(PairRows& rows, Leaving& leaving, Context& context) const {
  if (!leave_gate) return;
  const GlobalInput input{.x = rows.x, .graph_start = rows.patterns.at(0).graph_start};
  if (const auto kept = leaving.choose(*leave_gate, input, rows.x, context)) {
    restrict_pairs(rows, input, *kept);
  }
}

at::Tensor Gated::gate_attended(const at::Tensor& attended, const std::optional<KeptPairRows>& kept,
                                const at::Tensor& graph_start, Context& context) const {
  const at::Tensor& start = kept ? kept->rows.graph_start : graph_start;
  at::Tensor out = gate_heads(attended, start, context);
  if (kept) out = ops::scatter_add(out, kept->rows.rows);
  return branch_gate ? branch_gate->through(out, graph_start, context) : out;
}

at::Tensor Gated::gate_pairs(const at::Tensor& w, const std::optional<KeptPairRows>& kept,
                             const ops::AttentionPattern& pattern, Context& context) const {
  const at::Tensor all = kept ? ops::scatter_add(w, kept->edges) : w;
  if (!head_gate && !branch_gate) return all;
  const at::Tensor start = pattern.row_start.index_select(0, pattern.graph_start);  // of pairs
  const at::Tensor out = gate_heads(all, start, context);
  return branch_gate ? branch_gate->through(out, start, context) : out;
}

std::string Gated::gated_script(const Gating& g) const {
  std::string text;
  if (head_gate) text += fmt::format("    {0} = self.head_gate.forward({0})\n", g.variable);
  if (token_gate) {
    text += fmt::format(
        "    {0} = torch.zeros([{2}.size(0), {0}.size(1)], dtype={0}.dtype, "
        "device={0}.device).index_copy(0, {1}, {0})\n",
        g.variable, g.index, g.like);
  }
  if (branch_gate) text += fmt::format("    {0} = self.branch_gate.forward({0})\n", g.variable);
  return text;
}

void Gated::keep_heads(const std::vector<std::int64_t>& heads) {
  const at::NoGradGuard guard;
  const std::int64_t all = parts().heads;
  for (const std::int64_t h : heads) {
    TORCH_CHECK(h >= 0 && h < all, "[attention] head ", h, "; expected one of ", all);
  }
  for (HeadSlices& slices : head_slices()) {
    at::Tensor& value = slices.value;
    const std::int64_t blocks = slices.stacks * all;
    const std::int64_t channels = blocks > 0 ? value.size(slices.dim) / blocks : 0;
    std::vector<std::int64_t> which;
    for (std::int64_t stack = 0; stack < slices.stacks; ++stack) {
      for (const std::int64_t h : heads) {
        for (std::int64_t c = 0; c < channels; ++c) {
          which.push_back((stack * all + h) * channels + c);
        }
      }
    }
    const at::Tensor index = at::tensor(which, at::kLong).to(value.device());
    value.set_data(value.detach().index_select(slices.dim, index));
  }
  heads_kept(heads);
}

std::string Gated::choice_script() const {
  return (token_gate ? chooser_script("taking", "token_gate", *token_gate) : "") +
         (leave_gate ? chooser_script("leaving", "leave_gate", *leave_gate) : "");
}

std::string Gated::taken_script(const std::vector<std::string>& blocks) const {
  if (!token_gate) return "    u = x\n    f = e\n";
  std::string text =
      "    sizes: List[int] = []\n"
      "    for group in groups:\n"
      "        sizes.append(group.size(1))\n"
      "    none: List[Tensor] = []\n"
      "    places, more = self.taking(x, x, groups, sizes, none)\n"
      "    kept = self.staying(groups, places)\n"
      "    which, source, target = self.kept_edges(source, target, kept, x.size(0))\n"
      "    groups = self.regrouped(groups, places, kept, x.size(0))\n";
  for (const std::string& list : blocks) {
    text += fmt::format("    {0} = self.kept_blocks({0}, places)\n", list);
  }
  return text +
         "    u = more.index_select(0, kept)\n"
         "    f = e.index_select(0, which)\n";
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
  if (shut(context)) return at::zeros_like(input.x);
  std::optional<KeptRows> kept;
  if (token_gate) kept = token_gate->choose({input}, context);
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

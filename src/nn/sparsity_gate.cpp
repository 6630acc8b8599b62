#include "gtrain/nn/sparsity_gate.h"

#include <ATen/ATen.h>

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
    TORCH_CHECK(input.pattern == nullptr, "[tokens] rows cannot leave attention over a pattern");
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

at::Tensor Gated::through_gates(const GlobalInput& input, Context& context,
                                const std::function<at::Tensor(const GlobalInput&)>& attend) const {
  if (branch_gate && branch_gate->closed(context)) return at::zeros_like(input.x);
  std::optional<KeptRows> kept;
  if (token_gate) kept = token_gate->choose(input, context);
  at::Tensor out = attend(kept ? restricted(input, *kept) : input);
  if (kept && kept->rows.index.defined()) out = ops::scatter_add(out, kept->rows);
  if (head_gate) head_gate->observe(out, input.graph_start, context);
  return branch_gate ? branch_gate->through(out, input.graph_start, context) : out;
}

}  // namespace gtrain::nn

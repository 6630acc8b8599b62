#include "gtrain/script/pair.h"

#include <ATen/ATen.h>
#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>

#include <algorithm>
#include <type_traits>

#include "gtrain/ops/attention_pattern.h"
#include "gtrain/ops/sparse_attention.h"
#include "gtrain/script/packed.h"

namespace gtrain::script {
namespace {

using Index = std::int64_t;

constexpr Index kUnreachable = 255;

void check_numbers(const at::Tensor& t, Index count, const char* what) {
  TORCH_CHECK(t.is_cpu() && t.dim() == 1 && t.scalar_type() == at::kLong && t.numel() == count,
              what, ": has shape ", t.sizes(), " and type ", t.scalar_type(), "; expected int64 [",
              count, "]");
}

// One graph's paths.
class Paths {
 public:
  Paths(Index nodes, const Index* hops, const Index* inner, const Index* kind)
      : n_(nodes), hops_(hops), inner_(inner), kind_(kind) {}

  // Appends the kinds of the steps from i to j until there are `most`. `visits` left: a path of
  // fewer than n steps is found by fewer than 2 n.
  void walk(Index i, Index j, std::size_t most, std::vector<Index>& steps, Index& visits) const {
    TORCH_CHECK(visits-- > 0, "shortest_path: inner nodes lead in a circle");
    const Index p = i * n_ + j;
    if (steps.size() >= most || hops_[p] <= 0 || hops_[p] >= kUnreachable) return;
    const Index k = inner_[p];
    if (k < 0) {
      steps.push_back(kind_[p]);
      return;
    }
    TORCH_CHECK(k < n_, "shortest_path: holds ", k, "; expected -1 or a node of the graph, from 0");
    walk(i, k, most, steps, visits);
    walk(k, j, most, steps, visits);
  }

 private:
  Index n_;
  const Index *hops_, *inner_, *kind_;
};

std::vector<Index> square_start(const at::Tensor& start) {
  const Index* s = start.const_data_ptr<Index>();
  std::vector<Index> out{0};
  for (Index g = 0; g + 1 < start.numel(); ++g) {
    const Index n = s[g + 1] - s[g];
    out.push_back(out.back() + n * n);
  }
  return out;
}

// One graph's rows of path_sum; table [S, R, H], out [n n, H].
template <class T>
void sum_paths(const Paths& paths, Index nodes, Index cap, const at::Tensor& table, T* out) {
  using Sum = std::conditional_t<std::is_same_v<T, double>, double, float>;
  const Index longest = table.size(0), rows = table.size(1), heads = table.size(2);
  const T* from = table.const_data_ptr<T>();
  std::vector<Index> steps;
  std::vector<Sum> sum(static_cast<std::size_t>(heads));
  for (Index p = 0; p < nodes * nodes; ++p) {
    steps.clear();
    Index visits = 2 * nodes;
    paths.walk(p / nodes, p % nodes, static_cast<std::size_t>(std::min(cap, longest)), steps,
               visits);
    steps.resize(static_cast<std::size_t>(longest));
    std::fill(sum.begin(), sum.end(), Sum{0});
    for (Index s = 0; s < longest; ++s) {
      const T* row = from + (s * rows + steps[static_cast<std::size_t>(s)]) * heads;
      for (std::size_t e = 0; e < sum.size(); ++e) sum[e] += static_cast<Sum>(row[e]);
    }
    for (std::size_t e = 0; e < sum.size(); ++e) *out++ = static_cast<T>(sum[e]);
  }
}

}  // namespace

std::vector<at::Tensor> bigbird_pattern(const at::Tensor& batch, Index window, Index random,
                                        Index global, Index seed) {
  const at::Tensor start = graph_start(batch);
  const ops::AttentionPattern pattern = ops::union_pattern(
      {ops::window_pattern(start, {.width = window}), ops::global_pattern(start, {.count = global}),
       ops::random_pattern(start, {.degree = random, .seed = static_cast<std::uint64_t>(seed)})});
  return {pattern.row_start, pattern.column};
}

at::Tensor sparse_attention(const at::Tensor& qkv, at::TensorList pattern, Index heads) {
  TORCH_CHECK(pattern.size() == 2, "pattern: has ", pattern.size(),
              " tensors; expected row_start and column");
  TORCH_CHECK(qkv.dim() == 2 && qkv.size(1) % 3 == 0, "qkv: has shape ", qkv.sizes(),
              "; expected [N, 3D]");
  const Index d = qkv.size(1) / 3;
  return ops::sparse_attention(
      qkv.slice(1, 0, d), qkv.slice(1, d, 2 * d), qkv.slice(1, 2 * d, 3 * d),
      forward_pairs(pattern[0], pattern[1], qkv.size(0)), {.heads = heads});
}

at::Tensor other_pairs(const at::Tensor& source, const at::Tensor& target,
                       const at::Tensor& batch) {
  const at::Tensor graphs = graph_start(batch);
  const ops::EdgeIndex edges = forward_edges(source, target, batch.numel());
  const Index *s = graphs.const_data_ptr<Index>(), *in = edges.in_start.const_data_ptr<Index>();
  const Index* from = edges.source.const_data_ptr<Index>();
  std::vector<Index> sources, targets;
  std::vector<char> taken;
  for (Index g = 0; g + 1 < graphs.numel(); ++g) {
    for (Index i = s[g]; i < s[g + 1]; ++i) {
      taken.assign(static_cast<std::size_t>(s[g + 1] - s[g]), 0);
      taken[static_cast<std::size_t>(i - s[g])] = 1;
      for (Index k = in[i]; k < in[i + 1]; ++k) {
        TORCH_CHECK(from[k] >= s[g] && from[k] < s[g + 1],
                    "edge_index: has an edge between two graphs of the batch");
        taken[static_cast<std::size_t>(from[k] - s[g])] = 1;
      }
      for (Index j = s[g]; j < s[g + 1]; ++j) {
        if (taken[static_cast<std::size_t>(j - s[g])] != 0) continue;
        sources.push_back(j);
        targets.push_back(i);
      }
    }
  }
  return at::stack({at::tensor(sources, at::kLong), at::tensor(targets, at::kLong)});
}

at::Tensor path_sum(const at::Tensor& hops_in, const at::Tensor& inner_in,
                    const at::Tensor& kind_in, const at::Tensor& table_in, const at::Tensor& batch,
                    Index cap) {
  const at::Tensor start = graph_start(batch);
  const std::vector<Index> first = square_start(start);
  check_numbers(hops_in, first.back(), "hops");
  check_numbers(inner_in, first.back(), "inner");
  check_numbers(kind_in, first.back(), "kind");
  TORCH_CHECK(cap >= 0, "cap: is ", cap, "; expected 0 or more");
  TORCH_CHECK(table_in.dim() == 3 && table_in.size(1) > 0, "table: has shape ", table_in.sizes(),
              "; expected [S, R, H]");
  const at::Tensor hops = hops_in.contiguous(), inner = inner_in.contiguous();
  const at::Tensor kind = kind_in.contiguous(), table = table_in.contiguous();
  TORCH_CHECK(kind.numel() == 0 ||
                  (kind.min().item<Index>() >= 0 && kind.max().item<Index>() < table.size(1)),
              "kind: has other numbers than 0 to ", table.size(1) - 1);
  const Index *h = hops.const_data_ptr<Index>(), *k = inner.const_data_ptr<Index>();
  const Index *c = kind.const_data_ptr<Index>(), *s = start.const_data_ptr<Index>();
  const Index heads = table.size(2);
  at::Tensor out = at::empty({first.back(), heads}, table.options());
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, out.scalar_type(), "path_sum", [&] {
    scalar_t* to = out.mutable_data_ptr<scalar_t>();
    tbb::parallel_for(
        tbb::blocked_range<Index>(0, start.numel() - 1, 1),
        [&](const tbb::blocked_range<Index>& r) {
          for (Index g = r.begin(); g != r.end(); ++g) {
            const Index n = s[g + 1] - s[g], at = first[static_cast<std::size_t>(g)];
            sum_paths<scalar_t>({n, h + at, k + at, c + at}, n, cap, table, to + at * heads);
          }
        });
  });
  return out;
}

}  // namespace gtrain::script

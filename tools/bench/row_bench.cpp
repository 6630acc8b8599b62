// Row, segment, message and linear-attention ops against their plain ATen compositions: best of
// several forward + backward passes, in milliseconds, on batches of random graphs; products with
// sparse weights against dense ones.
//   gtrain_bench_row [graphs] [nodes] [width]          default 256 24 64; one thread of TBB and
//   ATen
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <tbb/global_control.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "gtrain/ops/batch_norm.h"
#include "gtrain/ops/gather.h"
#include "gtrain/ops/layer_norm.h"
#include "gtrain/ops/linear.h"
#include "gtrain/ops/message.h"
#include "gtrain/ops/reference.h"
#include "gtrain/ops/row.h"
#include "gtrain/ops/segment.h"
#include "gtrain/ops/sparse_linear.h"

namespace {

using Tensors = std::vector<at::Tensor>;
using Operation = std::function<Tensors(const Tensors&)>;
namespace ops = gtrain::ops;

double milliseconds(const Operation& f, const Tensors& inputs) {
  Tensors leaves;
  for (const at::Tensor& x : inputs) leaves.push_back(x.detach().clone().requires_grad_());
  double best = std::numeric_limits<double>::infinity(), spent = 0;
  for (int round = 0; round < 3 || (spent < 500 && round < 200); ++round) {
    const auto from = std::chrono::steady_clock::now();
    const Tensors out = f(leaves);
    Tensors gradients;
    for (const at::Tensor& y : out) gradients.push_back(at::ones_like(y));
    torch::autograd::backward(out, gradients);
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - from;
    for (const at::Tensor& x : leaves) x.mutable_grad() = at::Tensor();
    best = std::min(best, took.count());
    spent += took.count();
  }
  return best;
}

void compare(const char* name, const Operation& kernel, const Operation& composed,
             const Tensors& inputs) {
  const double ours = milliseconds(kernel, inputs), plain = milliseconds(composed, inputs);
  Tensors low;
  for (const at::Tensor& x : inputs) low.push_back(x.to(at::kBFloat16));
  const double half = milliseconds(kernel, low);
  std::printf("%-20s %9.3f %9.3f %7.1fx %9.3f\n", name, ours, plain, plain / ours, half);
}

// Degree about 2.2, sorted by (target, source).
ops::EdgeIndex random_edges(std::int64_t graphs, std::int64_t nodes) {
  const std::int64_t n = graphs * nodes, e = n * 11 / 5;
  const at::Tensor target = at::randint(n, {e}, at::kLong);
  const at::Tensor source =
      at::div(target, nodes, "floor") * nodes + at::randint(nodes, {e}, at::kLong);
  const at::Tensor order = at::argsort(target * n + source, true, 0);
  ops::EdgeIndex edges;
  edges.source = source.index_select(0, order);
  edges.target = target.index_select(0, order);
  edges.in_start = ops::row_index(edges.target, n).start;
  const ops::RowIndex out = ops::row_index(edges.source, n);
  edges.out_start = out.start;
  edges.out_edge = out.position;
  return edges;
}

void rows(std::int64_t n, std::int64_t d, const at::Tensor& start) {
  const at::Tensor x = at::randn({n, d}), r = at::randn({n, d}), w = at::ones({d}),
                   b = at::zeros({d});
  compare(
      "gelu + bias",
      [](const Tensors& t) -> Tensors {
        return {ops::activate_rows(t[0], t[1], {ops::RowActivation::kGelu, 0.0, 0}, t[2])};
      },
      [](const Tensors& t) -> Tensors { return {at::gelu(t[0] + t[1]) + t[2]}; }, {x, b, r});
  compare(
      "relu, dropout",
      [](const Tensors& t) -> Tensors {
        return {ops::activate_rows(t[0], t[1], {ops::RowActivation::kRelu, 0.3, 1}, t[2])};
      },
      [](const Tensors& t) -> Tensors {
        return {at::dropout(at::relu(t[0] + t[1]), 0.3, true) + t[2]};
      },
      {x, b, r});
  const ops::BatchNormState none{w, b, at::zeros({d}), at::ones({d})};
  compare(
      "batch_norm",
      [&](const Tensors& t) -> Tensors {
        return {
            ops::batch_norm(t[0], t[1], {t[2], t[3], none.running_mean, none.running_var}, true)};
      },
      [&](const Tensors& t) -> Tensors {
        return {at::batch_norm(t[0] + t[1], t[2], t[3], {}, {}, true, 0.1, 1e-5, false)};
      },
      {x, r, w, b});
  compare(
      "layer_norm",
      [](const Tensors& t) -> Tensors { return {ops::layer_norm(t[0], t[1], t[2], t[3])}; },
      [&](const Tensors& t) -> Tensors { return {at::layer_norm(t[0] + t[1], {d}, t[2], t[3])}; },
      {x, r, w, b});
  compare(
      "graph_norm",
      [&](const Tensors& t) -> Tensors { return {ops::graph_norm(t[0], t[1], t[2], t[3], start)}; },
      [&](const Tensors& t) -> Tensors {
        const at::Tensor z = t[0] + t[1];
        return {ops::reference::graph_norm(z, t[2], t[3], start, 1e-5)};
      },
      {x, r, w, b});
}

void segments(const at::Tensor& start, const at::Tensor& x) {
  const auto with = [&](auto* f) {
    return [&start, f](const Tensors& t) -> Tensors { return {f(t[0], start)}; };
  };
  compare("segment_sum", with(ops::segment_sum), with(ops::reference::segment_sum), {x});
  compare("segment_max", with(ops::segment_max), with(ops::reference::segment_max), {x});
  compare("segment_softmax", with(ops::segment_softmax), with(ops::reference::segment_softmax),
          {x});
}

void messages(const ops::EdgeIndex& edges, std::int64_t d) {
  const at::Tensor x = at::randn({edges.nodes(), d}), e = at::randn({edges.count(), d});
  const at::Tensor abde = at::randn({edges.nodes(), 4 * d});
  compare(
      "gine_aggregate",
      [&](const Tensors& t) -> Tensors { return {ops::gine_aggregate(t[0], t[1], edges)}; },
      [&](const Tensors& t) -> Tensors {
        return {ops::reference::gine_aggregate(t[0], t[1], edges)};
      },
      {x, e});
  const auto both = [](const std::pair<at::Tensor, at::Tensor>& p) -> Tensors {
    return {p.first, p.second};
  };
  compare(
      "gated_gcn", [&](const Tensors& t) { return both(ops::gated_gcn(t[0], t[1], edges)); },
      [&](const Tensors& t) { return both(ops::reference::gated_gcn(t[0], t[1], edges)); },
      {abde, e});
  const ops::RowIndex index{edges.source, edges.out_start, edges.out_edge};
  compare(
      "gather", [&](const Tensors& t) -> Tensors { return {ops::gather(t[0], index)}; },
      [&](const Tensors& t) -> Tensors { return {t[0].index_select(0, edges.source)}; }, {x});
}

// How often the sparse product's time fits into the dense one's, forward, by the share of the
// weights that is left.
void sparse_products(std::int64_t n) {
  constexpr double kShares[] = {0.5, 0.25, 0.1, 0.05};
  std::printf("\nsparse_linear, forward: times as fast as the dense product\n%-12s", "K = O");
  for (const double share : kShares) std::printf(" %7.2f", share);
  std::printf("\n");
  const at::NoGradGuard no_grad;
  const auto best_of = [](const auto& product) {
    double best = std::numeric_limits<double>::infinity();
    for (int round = 0; round < 30; ++round) {
      const auto from = std::chrono::steady_clock::now();
      product();
      const std::chrono::duration<double> took = std::chrono::steady_clock::now() - from;
      best = std::min(best, took.count());
    }
    return best;
  };
  for (const std::int64_t width : {64, 128, 256, 512}) {
    const at::Tensor x = at::randn({n, width}), dense = at::randn({width, width}),
                     bias = at::randn({width});
    std::printf("%-12lld", static_cast<long long>(width));
    for (const double share : kShares) {
      const at::Tensor weight = dense * (at::rand({width, width}) < share);
      const ops::WeightPattern pattern = ops::weight_pattern(weight);
      const double whole = best_of([&] { ops::linear(x, weight, bias); });
      const double sparse = best_of([&] { ops::sparse_linear(x, weight, pattern, bias); });
      std::printf(" %6.2fx", whole / sparse);
    }
    std::printf("\n");
  }
}

}  // namespace

int main(int argc, char** argv) {
  const auto argument = [&](int i, std::int64_t otherwise) {
    return argc > i ? std::strtoll(argv[i], nullptr, 10) : otherwise;
  };
  const std::int64_t graphs = argument(1, 256), nodes = argument(2, 24), d = argument(3, 64);
  at::set_num_threads(1);
  const tbb::global_control limit(tbb::global_control::max_allowed_parallelism, 1);
  at::manual_seed(1);
  const at::Tensor start = at::arange(graphs + 1, at::kLong) * nodes;
  const std::int64_t n = graphs * nodes;
  std::printf("%lld graphs of %lld nodes, width %lld; forward + backward, ms\n",
              static_cast<long long>(graphs), static_cast<long long>(nodes),
              static_cast<long long>(d));
  std::printf("%-20s %9s %9s %8s %9s\n", "op", "float", "ATen", "", "bfloat16");
  rows(n, d, start);
  segments(start, at::randn({n, d}));
  messages(random_edges(graphs, nodes), d);
  const at::Tensor projection = ops::orthogonal_features(266, 64, 1);
  compare(
      "linear_attention",
      [&](const Tensors& t) -> Tensors {
        return {ops::linear_attention(t[0], projection, start, 4)};
      },
      [&](const Tensors& t) -> Tensors {
        return {ops::reference::linear_attention(t[0], projection, start, 4, {})};
      },
      {at::randn({n, 3 * 4 * 64})});
  sparse_products(n);
  return 0;
}

// Odd graphs packed as one batch of tensors, and the comparisons that kernel tests are made of.
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <tbb/global_control.h>
#include <tbb/task_arena.h>

#include <cstring>
#include <functional>
#include <vector>

#include "gtrain/ops/edge_index.h"
#include "support/odd_graph.h"

namespace gtrain::support {

struct EdgeBatch {
  ops::EdgeIndex edges;
  at::Tensor graph_start;  // int64 [G+1]
  at::Tensor graph;        // int64 [N]
  std::int64_t nodes = 0;
};

inline at::Tensor starts_of(const at::Tensor& sorted, std::int64_t rows) {
  const at::Tensor count = at::bincount(sorted, {}, rows);
  return at::cat({at::zeros({1}, at::kLong), at::cumsum(count, 0)});
}

inline EdgeBatch pack(const std::vector<OddGraph>& graphs) {
  std::vector<std::int64_t> source, target, start{0}, owner;
  for (const OddGraph& g : graphs) {
    for (const std::int64_t s : g.source) source.push_back(start.back() + s);
    for (const std::int64_t t : g.target) target.push_back(start.back() + t);
    owner.insert(owner.end(), static_cast<std::size_t>(g.nodes),
                 static_cast<std::int64_t>(start.size()) - 1);
    start.push_back(start.back() + g.nodes);
  }
  EdgeBatch b;
  b.nodes = start.back();
  b.graph_start = at::tensor(start, at::kLong);
  b.graph = at::tensor(owner, at::kLong);
  const at::Tensor s = at::tensor(source, at::kLong), t = at::tensor(target, at::kLong);
  const at::Tensor order = at::argsort(t * std::max<std::int64_t>(b.nodes, 1) + s, true, 0);
  b.edges.source = s.index_select(0, order);
  b.edges.target = t.index_select(0, order);
  b.edges.in_start = starts_of(b.edges.target, b.nodes);
  b.edges.out_edge = at::argsort(b.edges.source, true, 0);
  b.edges.out_start = starts_of(b.edges.source, b.nodes);
  return b;
}

inline EdgeBatch pack_odd_graphs() { return pack(odd_graphs()); }

// max |a - b|; 0 for empty tensors.
inline double distance(const at::Tensor& a, const at::Tensor& b) {
  if (a.numel() == 0 && b.numel() == 0) return 0;
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

inline bool same_bits(const at::Tensor& a_in, const at::Tensor& b_in) {
  const at::Tensor a = a_in.contiguous(), b = b_in.contiguous();
  return a.sizes() == b.sizes() && a.scalar_type() == b.scalar_type() &&
         std::memcmp(a.const_data_ptr(), b.const_data_ptr(), a.nbytes()) == 0;
}

using Operation = std::function<std::vector<at::Tensor>(const std::vector<at::Tensor>&)>;

// Outputs and the gradients of sum(out · fixed weights) with respect to every input.
inline std::vector<at::Tensor> run_with_gradients(const Operation& f,
                                                  const std::vector<at::Tensor>& inputs) {
  std::vector<at::Tensor> leaves;
  for (const at::Tensor& x : inputs) leaves.push_back(x.detach().clone().requires_grad_());
  std::vector<at::Tensor> results = f(leaves);
  at::Tensor loss = at::zeros({}, inputs[0].options());
  for (const at::Tensor& out : results) {
    const at::Tensor weight =
        at::arange(out.numel(), out.options()).mul(0.37).sin().view(out.sizes());
    loss = loss + (out * weight).sum();
  }
  loss.backward();
  for (at::Tensor& r : results) r = r.detach();
  for (const at::Tensor& x : leaves) {
    results.push_back(x.grad().defined() ? x.grad() : at::zeros_like(x));
  }
  return results;
}

// The kernel law: the op may be at most twice as far from the fp64 reference as the reference
// itself is in the op's own type, plus eps; outputs and all gradients.
inline void expect_kernel_law(const Operation& op, const Operation& reference,
                              const std::vector<at::Tensor>& inputs64) {
  const auto truth = run_with_gradients(reference, inputs64);
  const auto exact = run_with_gradients(op, inputs64);
  std::vector<at::Tensor> inputs32;
  for (const at::Tensor& x : inputs64) inputs32.push_back(x.to(at::kFloat));
  const auto single = run_with_gradients(op, inputs32);
  const auto dense = run_with_gradients(reference, inputs32);
  ASSERT_EQ(truth.size(), exact.size());
  for (std::size_t i = 0; i < truth.size(); ++i) {
    EXPECT_EQ(truth[i].sizes(), exact[i].sizes()) << "result " << i;
    const double size = truth[i].numel() > 0 ? truth[i].abs().max().item<double>() : 0;
    EXPECT_LE(distance(exact[i], truth[i]), 1e-12 * (1 + size)) << "fp64 result " << i;
    EXPECT_LE(distance(single[i], truth[i]), 2 * distance(dense[i], truth[i]) + 2e-6 * (1 + size))
        << "fp32 result " << i;
  }
}

// Central differences in double of sum(op · fixed weights), for every input entry.
inline void expect_gradients(const Operation& op, const std::vector<at::Tensor>& inputs,
                             double tolerance = 1e-6) {
  const auto analytic = run_with_gradients(op, inputs);
  const auto value = [&](const std::vector<at::Tensor>& at_inputs) {
    double total = 0;
    for (const at::Tensor& out : op(at_inputs)) {
      const at::Tensor weight =
          at::arange(out.numel(), out.options()).mul(0.37).sin().view(out.sizes());
      total += (out * weight).sum().item<double>();
    }
    return total;
  };
  const std::size_t outputs = analytic.size() - inputs.size();
  constexpr double kStep = 1e-6;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    for (std::int64_t e = 0; e < inputs[i].numel(); ++e) {
      std::vector<at::Tensor> shifted;
      for (const at::Tensor& x : inputs) shifted.push_back(x.detach().clone());
      double* p = shifted[i].data_ptr<double>() + e;
      const double before = *p;
      *p = before + kStep;
      const double up = value(shifted);
      *p = before - kStep;
      const double down = value(shifted);
      const double got = analytic[outputs + i].contiguous().data_ptr<double>()[e];
      const double want = (up - down) / (2 * kStep);
      ASSERT_NEAR(got, want, tolerance * (1 + std::abs(want))) << "input " << i << " entry " << e;
    }
  }
}

// The same bits with 1, 2 and 4 threads, whatever the machine has.
inline void expect_thread_independent(const Operation& op, const std::vector<at::Tensor>& inputs) {
  std::vector<at::Tensor> first;
  for (const int threads : {1, 2, 4}) {
    const tbb::global_control limit(tbb::global_control::max_allowed_parallelism,
                                    static_cast<std::size_t>(threads));
    tbb::task_arena arena(threads);
    std::vector<at::Tensor> results;
    arena.execute([&] { results = run_with_gradients(op, inputs); });
    if (first.empty()) first = results;
    for (std::size_t i = 0; i < results.size(); ++i) {
      EXPECT_TRUE(same_bits(results[i], first[i])) << "result " << i << " with " << threads;
    }
  }
}

}  // namespace gtrain::support

// Odd graphs packed as one batch of tensors, and the comparisons that kernel tests are made of.
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <tbb/global_control.h>
#include <tbb/task_arena.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <string>
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

// 50 batches of 4 random graphs each: sparse and dense, directed or not, with self loops, repeated
// arcs, isolated nodes and nothing at all.
inline std::vector<EdgeBatch> random_batches() {
  std::vector<EdgeBatch> batches;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const auto n = static_cast<std::int64_t>(1 + seed * 7 % 23);
    batches.push_back(pack({random_graph(4 * seed, n, 0.15), random_arcs(4 * seed + 1, n, 3 * n),
                            random_graph(4 * seed + 2, n / 2, 0.5, false),
                            random_graph(4 * seed + 3, 23 - n, 0.3)}));
  }
  return batches;
}

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

// Weights of a loss over `out`, as numbers of type `rounded`.
inline at::Tensor loss_weights(const at::Tensor& out, at::ScalarType rounded) {
  const at::Tensor index = at::arange(out.numel(), out.options().dtype(at::kDouble));
  return index.mul(0.37).sin().view(out.sizes()).to(rounded).to(out.scalar_type());
}

// Outputs and the gradients of sum(out · fixed weights) with respect to every input. The weights
// are numbers of type `rounded`, so that runs in several types can share them.
inline std::vector<at::Tensor> run_with_gradients(const Operation& f,
                                                  const std::vector<at::Tensor>& inputs,
                                                  at::ScalarType rounded = at::kDouble) {
  std::vector<at::Tensor> leaves;
  for (const at::Tensor& x : inputs) leaves.push_back(x.detach().clone().requires_grad_());
  std::vector<at::Tensor> results = f(leaves);
  std::vector<at::Tensor> outputs, weights;
  for (const at::Tensor& out : results) {
    if (!out.requires_grad()) continue;
    outputs.push_back(out);
    weights.push_back(loss_weights(out, rounded));
  }
  if (!outputs.empty()) torch::autograd::backward(outputs, weights);
  for (at::Tensor& r : results) r = r.detach();
  for (const at::Tensor& x : leaves) {
    results.push_back(x.grad().defined() ? x.grad() : at::zeros_like(x));
  }
  return results;
}

// The unit of the kernel law's eps: a few roundings of a number of size 1.
inline double law_epsilon(at::ScalarType type) {
  switch (type) {
    case at::kDouble:
      return 1e-12;
    case at::kFloat:
      return 2e-6;
    case at::kHalf:
      return 0x1p-11;
    default:  // bfloat16
      return 0x1p-8;
  }
}

// For one type: the op may be at most twice as far from the fp64 reference as the reference itself
// is in that type, plus eps; outputs and all gradients. The fp64 reference sees the inputs and the
// loss weights as rounded to the type.
inline void expect_kernel_law_in(at::ScalarType type, const Operation& op,
                                 const Operation& reference,
                                 const std::vector<at::Tensor>& inputs64) {
  SCOPED_TRACE(c10::toString(type));
  std::vector<at::Tensor> low, exact;
  for (const at::Tensor& x : inputs64) {
    low.push_back(x.to(type));
    exact.push_back(low.back().to(at::kDouble));
  }
  const auto truth = run_with_gradients(reference, exact, type);
  const auto dense = type == at::kDouble ? truth : run_with_gradients(reference, low, type);
  const auto found = run_with_gradients(op, low, type);
  ASSERT_EQ(truth.size(), found.size());
  for (std::size_t i = 0; i < truth.size(); ++i) {
    EXPECT_EQ(found[i].scalar_type(), type) << "result " << i;
    ASSERT_EQ(truth[i].sizes(), found[i].sizes()) << "result " << i;
    const double size = truth[i].numel() > 0 ? truth[i].abs().max().item<double>() : 0;
    const double plain = distance(dense[i], truth[i]);  // NaN where the plain form breaks down
    EXPECT_LE(distance(found[i], truth[i]),
              2 * (std::isfinite(plain) ? plain : 0) + law_epsilon(type) * (1 + size))
        << "result " << i;
  }
}

inline const std::vector<at::ScalarType>& all_types() {
  static const std::vector<at::ScalarType> types{at::kDouble, at::kFloat, at::kBFloat16, at::kHalf};
  return types;
}

// Double and one more: each of the others in turn, where a test has many cases.
inline std::vector<at::ScalarType> types_in_turn(std::size_t number) {
  return {at::kDouble, all_types()[1 + number % 3]};
}

inline void expect_kernel_law(const Operation& op, const Operation& reference,
                              const std::vector<at::Tensor>& inputs64,
                              const std::vector<at::ScalarType>& types = {at::kDouble,
                                                                          at::kFloat}) {
  for (const at::ScalarType type : types) expect_kernel_law_in(type, op, reference, inputs64);
}

// Kernels differentiate once: asked for a graph of its gradients, the op throws.
inline void expect_first_derivative_only(const Operation& op,
                                         const std::vector<at::Tensor>& inputs) {
  std::vector<at::Tensor> leaves, weights;
  for (const at::Tensor& x : inputs) leaves.push_back(x.detach().clone().requires_grad_());
  const std::vector<at::Tensor> outputs = op(leaves);
  for (const at::Tensor& out : outputs) weights.push_back(at::ones_like(out));
  EXPECT_THROW(torch::autograd::grad(outputs, leaves, weights, true, true), c10::Error);
}

// Central differences in double of sum(op · fixed weights), for every input entry.
inline void expect_gradients(const Operation& op, const std::vector<at::Tensor>& inputs,
                             double tolerance = 1e-6) {
  const auto analytic = run_with_gradients(op, inputs);
  const auto value = [&](const std::vector<at::Tensor>& at_inputs) {
    double total = 0;
    for (const at::Tensor& out : op(at_inputs)) {
      total += (out * loss_weights(out, at::kDouble)).sum().item<double>();
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
  expect_first_derivative_only(op, inputs);
}

// run(start), for three rows and a parameter `name`, accepts starts of int64 on the CPU and refuses
// others in the house form before it reads them.
template <class Run>
inline void expect_start_checked(const std::string& name, const Run& run) {
  const at::Tensor good = at::tensor(std::vector<std::int64_t>{0, 3}, at::kLong);
  EXPECT_NO_THROW(run(good));
  const auto elsewhere = at::TensorOptions().dtype(at::kLong).device(at::kMeta);
  for (const at::Tensor& bad : {at::empty({2}, elsewhere), good.to(at::kInt), good.view({1, 2}),
                                good.slice(0, 0, 0), at::stack({good, good}, 1).select(1, 0)}) {
    try {
      run(bad);
      ADD_FAILURE() << name << " of shape " << bad.sizes() << " was accepted";
    } catch (const c10::Error& e) {
      EXPECT_NE(std::string(e.what()).find("] " + name + " has shape "), std::string::npos)
          << e.what();
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

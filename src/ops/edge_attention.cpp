#include "gtrain/ops/edge_attention.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

#include "ops/detail/device.h"
#include "ops/detail/dtype.h"
#include "ops/detail/first_derivative.h"
#include "ops/detail/op_count.h"
#include "ops/detail/optional.h"
#include "ops/detail/pattern_check.h"
#include "ops/detail/sparse_run.h"

namespace gtrain::ops {
namespace {

using detail::Compute;
using detail::EdgeAttention;
using detail::SparsePlan;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// What forward and backward both need; tensors as the kernels read them.
struct Problem {
  at::Tensor q, k, v;  // [N, H, d], [M, H, d]: heads contiguous, rows strided
  at::Tensor edge;     // [P, H, d] or undefined
  AttentionPattern pattern;
  EdgeAttentionOptions options;
};

at::Tensor statistics(const at::Tensor& q, std::int64_t columns) {
  return at::empty({q.size(0), columns}, q.options().dtype(detail::compute_type(q.scalar_type())));
}

template <class S>
EdgeAttention<S> arguments(const Problem& problem, const at::Tensor& out,
                           const at::Tensor& inverse) {
  using T = Compute<S>;
  EdgeAttention<S> a;
  a.heads = problem.q.size(1);
  a.width = problem.q.size(2);
  a.q = detail::data<S>(problem.q);
  a.k = detail::data<S>(problem.k);
  a.v = detail::data<S>(problem.v);
  a.q_stride = problem.q.stride(0);
  a.k_stride = problem.k.stride(0);
  a.v_stride = problem.v.stride(0);
  if (problem.edge.defined()) a.edge = detail::data<S>(problem.edge);
  a.pairs = problem.pattern.pairs();
  a.row_start = problem.pattern.row_start.const_data_ptr<std::int64_t>();
  a.column = problem.pattern.column.const_data_ptr<std::int32_t>();
  a.scale = static_cast<T>(problem.options.scale);
  a.clamp = static_cast<T>(problem.options.clamp);
  a.epsilon = static_cast<T>(problem.options.epsilon);
  a.out = detail::mutable_data<S>(out);
  a.inverse = inverse.mutable_data_ptr<T>();
  return a;
}

struct Gradients {
  at::Tensor q, k, v, edge;
};

template <class S>
void backward_typed(EdgeAttention<S> a, const Problem& problem, const at::Tensor& dout,
                    const at::Tensor& dw, const Gradients& gradients) {
  const AttentionPattern& pattern = problem.pattern;
  const auto& kernel = detail::kernels<S>().sparse.edge;
  const at::Tensor statistic = statistics(problem.q, 2 * a.heads);
  a.dout = detail::data<S>(dout);
  if (dw.defined()) a.dw = detail::data<S>(dw);
  a.statistic = statistic.template mutable_data_ptr<Compute<S>>();
  a.dq = detail::mutable_data<S>(gradients.q);
  a.dk = detail::mutable_data<S>(gradients.k);
  a.dv = detail::mutable_data<S>(gradients.v);
  if (gradients.edge.defined()) a.dedge = detail::mutable_data<S>(gradients.edge);
  a.column_start = pattern.column_start.const_data_ptr<std::int64_t>();
  a.row = pattern.row.const_data_ptr<std::int32_t>();
  a.pair = pattern.pair.const_data_ptr<std::int64_t>();
  const SparsePlan rows = detail::sparse_plan(a.row_start, pattern.rows());
  detail::run_plan(
      a, rows,
      [&](const EdgeAttention<S>& p, std::int64_t t) {
        kernel.backward_rows(p, rows.ranges[static_cast<std::size_t>(t)]);
      },
      kernel.merge_rows);
  const SparsePlan columns = detail::sparse_plan(a.column_start, pattern.columns());
  detail::run_plan(
      a, columns,
      [&](const EdgeAttention<S>& p, std::int64_t t) {
        kernel.backward_columns(p, columns.ranges[static_cast<std::size_t>(t)]);
      },
      kernel.merge_columns);
}

class EdgeAttentionFunction : public torch::autograd::Function<EdgeAttentionFunction> {
 public:
  static variable_list forward(AutogradContext* ctx, const at::Tensor& q, const at::Tensor& k,
                               const at::Tensor& v, const std::optional<at::Tensor>& edge,
                               const Problem& given) {
    Problem problem = given;
    problem.q = detail::rows_of_heads(q);
    problem.k = detail::rows_of_heads(k);
    problem.v = detail::rows_of_heads(v);
    if (edge) problem.edge = edge->contiguous();
    at::Tensor out = at::empty(q.sizes(), q.options());
    at::Tensor inverse = statistics(q, q.size(1));
    at::Tensor w =
        edge && problem.options.edge_output ? at::empty_like(problem.edge) : at::Tensor();
    detail::with_storage("edge_attention", q.scalar_type(), [&](auto storage) {
      using S = typename decltype(storage)::Type;
      EdgeAttention<S> a = arguments<S>(problem, out, inverse);
      if (w.defined()) a.w = detail::mutable_data<S>(w);
      const SparsePlan plan = detail::sparse_plan(a.row_start, problem.pattern.rows());
      const auto& kernel = detail::kernels<S>().sparse.edge;
      detail::run_plan(
          a, plan,
          [&](const EdgeAttention<S>& p, std::int64_t t) {
            kernel.forward(p, plan.ranges[static_cast<std::size_t>(t)]);
          },
          kernel.merge_forward);
    });
    const AttentionPattern& pattern = problem.pattern;
    ctx->save_for_backward({problem.q, problem.k, problem.v, problem.edge, out, inverse,
                            pattern.row_start, pattern.column, pattern.column_start, pattern.row,
                            pattern.pair});
    ctx->set_materialize_grads(false);  // of the output that nobody reads: [P, D] zeros
    ctx->saved_data["scale"] = problem.options.scale;
    ctx->saved_data["clamp"] = problem.options.clamp;
    if (!w.defined()) return {out};
    return {out, w};
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    detail::first_derivative_only("edge_attention");
    const variable_list saved = ctx->get_saved_variables();
    Problem problem;
    problem.q = saved[0];
    problem.k = saved[1];
    problem.v = saved[2];
    problem.edge = saved[3];
    const at::Tensor &out = saved[4], &inverse = saved[5];
    problem.pattern.row_start = saved[6];
    problem.pattern.column = saved[7];
    problem.pattern.column_start = saved[8];
    problem.pattern.row = saved[9];
    problem.pattern.pair = saved[10];
    problem.options.scale = ctx->saved_data["scale"].toDouble();
    problem.options.clamp = ctx->saved_data["clamp"].toDouble();

    Gradients gradients;
    const auto like = [](const at::Tensor& t) { return at::empty(t.sizes(), t.options()); };
    gradients.q = like(problem.q);
    gradients.k = like(problem.k);
    gradients.v = like(problem.v);
    if (problem.edge.defined() && ctx->needs_input_grad(3)) gradients.edge = like(problem.edge);
    const at::Tensor dout = grads[0].defined() ? grads[0].contiguous() : at::zeros_like(out);
    const at::Tensor dw =
        grads.size() > 1 && grads[1].defined() ? grads[1].contiguous() : at::Tensor();
    detail::with_storage("edge_attention", problem.q.scalar_type(), [&](auto storage) {
      using S = typename decltype(storage)::Type;
      backward_typed<S>(arguments<S>(problem, out, inverse), problem, dout, dw, gradients);
    });
    return {gradients.q, gradients.k, gradients.v, gradients.edge, at::Tensor()};
  }
};

void check_edge(const at::Tensor& edge, const at::Tensor& q, const AttentionPattern& pattern) {
  const bool heads = edge.dim() == 3 && edge.size(1) == q.size(1) && edge.size(2) == q.size(2);
  const bool flat = edge.dim() == 2 && edge.size(1) == q.size(1) * q.size(2);
  TORCH_CHECK((heads || flat) && edge.size(0) == pattern.pairs(),
              "[edge_attention] edge has shape ", edge.sizes(), "; expected [", pattern.pairs(),
              ", ", q.size(1), ", ", q.size(2),
              "] or the last two as one: pairs, heads and channels");
  TORCH_CHECK(edge.scalar_type() == q.scalar_type(), "[edge_attention] edge is ",
              edge.scalar_type(), "; expected ", q.scalar_type(), " as q");
}

}  // namespace

std::pair<at::Tensor, at::Tensor> edge_attention(const at::Tensor& q, const at::Tensor& k,
                                                 const at::Tensor& v, const at::Tensor& edge,
                                                 const AttentionPattern& pattern,
                                                 const EdgeAttentionOptions& options) {
  Problem problem;
  problem.pattern = pattern.full() ? listed(pattern) : pattern;
  const detail::HeadRows rows =
      detail::check_heads("edge_attention", q, k, v, problem.pattern, options.heads);
  at::Tensor edge_rows = edge;
  if (edge.defined()) {
    check_edge(edge, rows.q, problem.pattern);
    edge_rows = detail::split_heads(edge, rows.q.size(1));
  }
  TORCH_CHECK(options.clamp > 0 && options.clamp <= 80, "[edge_attention] clamp is ", options.clamp,
              "; expected in (0, 80]: exp of it is a weight");
  TORCH_CHECK(options.epsilon >= 0, "[edge_attention] epsilon is ", options.epsilon,
              "; expected at least 0");
  problem.options = options;
  if (options.scale == 0) {
    problem.options.scale = 1 / std::sqrt(static_cast<double>(rows.q.size(2)));
  }
  const auto shaped = [&](const at::Tensor& out, const at::Tensor& w) {
    return std::pair(out.view(q.sizes()), w.defined() ? w.view(edge.sizes()) : w);
  };
  const detail::OpCount count;
  if (count) {
    const std::int64_t heads = rows.q.size(1);
    count.add(Work::kAttention,
              detail::edge_attention_flops(static_cast<double>(problem.pattern.pairs()),
                                           static_cast<double>(rows.q.size(0)),
                                           heads * rows.q.size(2), heads, edge.defined()));
  }
  if (detail::on_device("edge_attention", q, {k, v, edge})) {
    const auto [out, w] =
        device::edge_attention(rows.q, rows.k, rows.v, edge_rows, problem.pattern, problem.options);
    return shaped(out, w);
  }
  const variable_list out =
      EdgeAttentionFunction::apply(rows.q, rows.k, rows.v, detail::optional(edge_rows), problem);
  return shaped(out[0], out.size() > 1 ? out[1] : at::Tensor());
}

}  // namespace gtrain::ops

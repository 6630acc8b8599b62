#include "gtrain/ops/sparse_attention.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

#include "ops/detail/device.h"
#include "ops/detail/dtype.h"
#include "ops/detail/first_derivative.h"
#include "ops/detail/kernels.h"
#include "ops/detail/op_count.h"
#include "ops/detail/optional.h"
#include "ops/detail/pattern_check.h"
#include "ops/detail/random.h"
#include "ops/detail/sparse_run.h"

namespace gtrain::ops {
namespace {

using detail::Compute;
using detail::SparseAttention;
using detail::SparsePlan;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// What forward and backward both need; tensors as the kernels read them.
struct Problem {
  at::Tensor q, k, v;  // [N, H, d], [M, H, d]: heads contiguous, rows strided
  at::Tensor pair_bias, type_bias;
  AttentionPattern pattern;
  double scale = 1, dropout = 0;
  std::uint64_t key = 0;

  std::int64_t heads() const { return q.size(1); }
  std::int64_t width() const { return q.size(2); }
  at::Tensor statistics(std::int64_t columns) const {
    return at::empty({q.size(0), columns},
                     q.options().dtype(detail::compute_type(q.scalar_type())));
  }
};

template <class S>
SparseAttention<S> arguments(const Problem& problem, const at::Tensor& type_bias,
                             const at::Tensor& out, const at::Tensor& lse) {
  using T = Compute<S>;
  const AttentionPattern& pattern = problem.pattern;
  SparseAttention<S> a;
  a.heads = problem.heads();
  a.width = problem.width();
  a.q = detail::data<S>(problem.q);
  a.k = detail::data<S>(problem.k);
  a.v = detail::data<S>(problem.v);
  a.q_stride = problem.q.stride(0);
  a.k_stride = problem.k.stride(0);
  a.v_stride = problem.v.stride(0);
  a.pairs = pattern.pairs();
  a.row_start = pattern.row_start.const_data_ptr<std::int64_t>();
  a.column = pattern.column.const_data_ptr<std::int32_t>();
  if (pattern.type.defined()) a.type = pattern.type.const_data_ptr<std::uint8_t>();
  if (problem.pair_bias.defined()) a.pair_bias = detail::data<S>(problem.pair_bias);
  if (type_bias.defined()) a.type_bias = type_bias.const_data_ptr<T>();
  a.scale = static_cast<T>(problem.scale);
  a.threshold = detail::drop_threshold(problem.dropout);
  a.keep_scale = static_cast<T>(1 / (1 - problem.dropout));
  a.key = problem.key;
  a.out = detail::mutable_data<S>(out);
  a.lse = lse.mutable_data_ptr<T>();
  return a;
}

at::Tensor widened(const at::Tensor& bias, at::ScalarType storage) {
  return bias.defined() ? bias.to(detail::compute_type(storage)).contiguous() : bias;
}

struct Gradients {
  at::Tensor q, k, v, pair_bias, type_bias;
};

template <class S>
void backward_typed(const Problem& problem, const at::Tensor& out, const at::Tensor& lse,
                    const at::Tensor& dout, Gradients& gradients) {
  using T = Compute<S>;
  const AttentionPattern& pattern = problem.pattern;
  const auto& kernel = detail::kernels<S>().sparse;
  const at::Tensor type_bias = widened(problem.type_bias, problem.q.scalar_type());
  const at::Tensor statistic = problem.statistics(2 * problem.heads());
  SparseAttention<S> a = arguments<S>(problem, type_bias, out, lse);
  a.dout = detail::data<S>(dout);
  a.statistic = statistic.mutable_data_ptr<T>();
  a.dq = detail::mutable_data<S>(gradients.q);
  a.dk = detail::mutable_data<S>(gradients.k);
  a.dv = detail::mutable_data<S>(gradients.v);
  if (gradients.pair_bias.defined()) a.dpair_bias = detail::mutable_data<S>(gradients.pair_bias);
  a.column_start = pattern.column_start.const_data_ptr<std::int64_t>();
  a.row = pattern.row.const_data_ptr<std::int32_t>();
  a.pair = pattern.pair.const_data_ptr<std::int64_t>();

  const SparsePlan rows = detail::sparse_plan(a.row_start, pattern.rows());
  // One table per task, added up in the tasks' order.
  const std::int64_t table = gradients.type_bias.defined() ? problem.type_bias.numel() : 0;
  std::vector<T> tables(rows.ranges.size() * static_cast<std::size_t>(table), T{0});
  detail::run_plan(
      a, rows,
      [&](const SparseAttention<S>& p, std::int64_t t) {
        kernel.backward_rows(p, rows.ranges[static_cast<std::size_t>(t)],
                             table > 0 ? tables.data() + t * table : nullptr);
      },
      kernel.merge_rows);
  if (table > 0) {
    const at::Tensor sum = at::zeros_like(type_bias);
    T* to = sum.mutable_data_ptr<T>();
    for (std::size_t x = 0; x < tables.size(); ++x) {
      to[x % static_cast<std::size_t>(table)] += tables[x];
    }
    gradients.type_bias.copy_(sum);
  }
  const SparsePlan columns = detail::sparse_plan(a.column_start, pattern.columns());
  detail::run_plan(
      a, columns,
      [&](const SparseAttention<S>& p, std::int64_t t) {
        kernel.backward_columns(p, columns.ranges[static_cast<std::size_t>(t)]);
      },
      kernel.merge_columns);
}

class SparseAttentionFunction : public torch::autograd::Function<SparseAttentionFunction> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& q, const at::Tensor& k,
                            const at::Tensor& v, const std::optional<at::Tensor>& pair_bias,
                            const std::optional<at::Tensor>& type_bias, const Problem& given) {
    Problem problem = given;
    problem.q = detail::rows_of_heads(q);
    problem.k = detail::rows_of_heads(k);
    problem.v = detail::rows_of_heads(v);
    if (pair_bias) problem.pair_bias = pair_bias->contiguous();
    if (type_bias) problem.type_bias = *type_bias;
    at::Tensor out = at::empty(q.sizes(), q.options());
    at::Tensor lse = problem.statistics(problem.heads());
    detail::with_storage("sparse_attention", q.scalar_type(), [&](auto storage) {
      using S = typename decltype(storage)::Type;
      const at::Tensor bias = widened(problem.type_bias, q.scalar_type());
      SparseAttention<S> a = arguments<S>(problem, bias, out, lse);
      const SparsePlan plan = detail::sparse_plan(a.row_start, problem.pattern.rows());
      const auto& kernel = detail::kernels<S>().sparse;
      detail::run_plan(
          a, plan,
          [&](const SparseAttention<S>& p, std::int64_t t) {
            kernel.forward(p, plan.ranges[static_cast<std::size_t>(t)]);
          },
          kernel.merge_forward);
    });
    const AttentionPattern& pattern = problem.pattern;
    ctx->save_for_backward({problem.q, problem.k, problem.v, problem.pair_bias, problem.type_bias,
                            out, lse, pattern.row_start, pattern.column, pattern.type,
                            pattern.column_start, pattern.row, pattern.pair});
    ctx->saved_data["scale"] = problem.scale;
    ctx->saved_data["dropout"] = problem.dropout;
    ctx->saved_data["key"] = static_cast<std::int64_t>(problem.key);
    return out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    detail::first_derivative_only("sparse_attention");
    const variable_list saved = ctx->get_saved_variables();
    Problem problem;
    problem.q = saved[0];
    problem.k = saved[1];
    problem.v = saved[2];
    problem.pair_bias = saved[3];
    problem.type_bias = saved[4];
    const at::Tensor &out = saved[5], &lse = saved[6];
    AttentionPattern& pattern = problem.pattern;
    pattern.row_start = saved[7];
    pattern.column = saved[8];
    pattern.type = saved[9];
    pattern.column_start = saved[10];
    pattern.row = saved[11];
    pattern.pair = saved[12];
    problem.scale = ctx->saved_data["scale"].toDouble();
    problem.dropout = ctx->saved_data["dropout"].toDouble();
    problem.key = static_cast<std::uint64_t>(ctx->saved_data["key"].toInt());

    Gradients gradients;
    const auto like = [](const at::Tensor& t) { return at::empty(t.sizes(), t.options()); };
    gradients.q = like(problem.q);
    gradients.k = like(problem.k);
    gradients.v = like(problem.v);
    std::size_t input = 3;  // absent biases are not counted
    if (problem.pair_bias.defined() && ctx->needs_input_grad(input++)) {
      gradients.pair_bias = like(problem.pair_bias);
    }
    if (problem.type_bias.defined() && ctx->needs_input_grad(input)) {
      gradients.type_bias = like(problem.type_bias);
    }
    const at::Tensor dout = grads[0].contiguous();
    detail::with_storage("sparse_attention", problem.q.scalar_type(), [&](auto storage) {
      backward_typed<typename decltype(storage)::Type>(problem, out, lse, dout, gradients);
    });
    return {gradients.q,         gradients.k,         gradients.v,
            gradients.pair_bias, gradients.type_bias, at::Tensor()};
  }
};

void check_bias(const char* name, const at::Tensor& bias, const at::Tensor& q, std::int64_t rows,
                const char* what) {
  if (!bias.defined()) return;
  TORCH_CHECK(bias.dim() == 2 && bias.size(0) == rows && bias.size(1) == q.size(1),
              "[sparse_attention] ", name, " has shape ", bias.sizes(), "; expected [", rows, ", ",
              q.size(1), "]: ", what, " and heads");
  TORCH_CHECK(bias.scalar_type() == q.scalar_type(), "[sparse_attention] ", name, " is ",
              bias.scalar_type(), "; expected ", q.scalar_type(), " as q");
}

}  // namespace

at::Tensor sparse_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const AttentionPattern& pattern,
                            const SparseAttentionOptions& options) {
  Problem problem;
  problem.pattern = pattern.full() ? listed(pattern) : pattern;
  const detail::HeadRows rows =
      detail::check_heads("sparse_attention", q, k, v, problem.pattern, options.heads);
  check_bias("pair_bias", options.pair_bias, rows.q, problem.pattern.pairs(), "pairs");
  if (options.type_bias.defined()) {
    check_bias("type_bias", options.type_bias, rows.q,
               std::max(options.type_bias.size(0), problem.pattern.types), "types");
  }
  TORCH_CHECK(options.dropout >= 0 && options.dropout < 1, "[sparse_attention] dropout is ",
              options.dropout, "; expected [0, 1)");
  problem.scale =
      options.scale != 0 ? options.scale : 1 / std::sqrt(static_cast<double>(rows.q.size(2)));
  problem.dropout = options.dropout;
  problem.key = options.key;
  const detail::OpCount count;
  if (count) {
    const int added = (options.pair_bias.defined() ? 1 : 0) + (options.type_bias.defined() ? 1 : 0);
    const std::int64_t heads = rows.q.size(1);
    count.add(Work::kAttention,
              detail::attention_flops(static_cast<double>(problem.pattern.pairs()),
                                      heads * rows.q.size(2), heads, added));
  }
  if (detail::on_device("sparse_attention", q, {k, v, options.pair_bias, options.type_bias})) {
    SparseAttentionOptions resolved = options;
    resolved.scale = problem.scale;
    return device::sparse_attention(rows.q, rows.k, rows.v, problem.pattern, resolved)
        .view(q.sizes());
  }
  return SparseAttentionFunction::apply(rows.q, rows.k, rows.v, detail::optional(options.pair_bias),
                                        detail::optional(options.type_bias), problem)
      .view(q.sizes());
}

}  // namespace gtrain::ops

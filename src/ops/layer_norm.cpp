#include "gtrain/ops/layer_norm.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <vector>

#include "ops/detail/device.h"
#include "ops/detail/first_derivative.h"
#include "ops/detail/op_count.h"
#include "ops/detail/optional.h"
#include "ops/detail/residual_dropout.h"
#include "ops/detail/start_check.h"

namespace gtrain::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Index = std::int64_t;

// body(first row, last row) for each group of rows that share their statistics: the graphs of
// start, or single rows where it is undefined. Groups in parallel, rows of a group in order.
template <class Body>
void for_groups(const at::Tensor& start, Index rows, const Body& body) {
  if (!start.defined()) {
    detail::parallel_rows(rows, 4, [&](Index, Index begin, Index end) {
      for (Index i = begin; i < end; ++i) body(i, i + 1);
    });
    return;
  }
  const Index* s = detail::data<Index>(start);
  detail::parallel_tasks(start.size(0) - 1, rows < 4096, [&](Index g) {
    if (s[g] < s[g + 1]) body(s[g], s[g + 1]);
  });
}

// moments [N, 2] of the rows become mean and rstd [N] of their groups.
template <class T>
void group_statistics(const at::Tensor& start, Index d, double eps, const std::vector<T>& moments,
                      T* mean, T* rstd) {
  const Index n = static_cast<Index>(moments.size() / 2);
  for_groups(start, n, [&](Index first, Index last) {
    double m = 0, m2 = 0, seen = 0;
    const double width = static_cast<double>(d);
    for (Index i = first; i < last; ++i) {
      const T* row = moments.data() + 2 * i;
      const double delta = static_cast<double>(row[0]) - m;
      m += delta * width / (seen + width);
      m2 += static_cast<double>(row[1]) + delta * delta * seen * width / (seen + width);
      seen += width;
    }
    std::fill(mean + first, mean + last, static_cast<T>(m));
    std::fill(rstd + first, rstd + last, static_cast<T>(1 / std::sqrt(m2 / seen + eps)));
  });
}

// sums [N, 2] over rows become their means over the groups.
template <class T>
void group_means(const at::Tensor& start, Index d, std::vector<T>& sums) {
  for_groups(start, static_cast<Index>(sums.size() / 2), [&](Index first, Index last) {
    double a = 0, b = 0;
    for (Index i = first; i < last; ++i) {
      a += static_cast<double>(sums[static_cast<std::size_t>(2 * i)]);
      b += static_cast<double>(sums[static_cast<std::size_t>(2 * i + 1)]);
    }
    const double count = static_cast<double>((last - first) * d);
    for (Index i = first; i < last; ++i) {
      sums[static_cast<std::size_t>(2 * i)] = static_cast<T>(a / count);
      sums[static_cast<std::size_t>(2 * i + 1)] = static_cast<T>(b / count);
    }
  });
}

class RowNormFunction : public torch::autograd::Function<RowNormFunction> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_in,
                            const std::optional<at::Tensor>& r_in, const at::Tensor& weight,
                            const at::Tensor& bias, const std::optional<at::Tensor>& start_in,
                            double eps, double p, Index key) {
    const at::Tensor x = x_in.contiguous(), start = start_in.value_or(at::Tensor());
    const at::Tensor residual = r_in ? r_in->contiguous() : at::Tensor();
    const detail::Dropout drop{p, static_cast<std::uint64_t>(key)};
    const Index n = x.size(0), d = x.size(1);
    const auto wide = x.options().dtype(detail::compute_type(x.scalar_type()));
    const at::Tensor w = weight.to(wide.dtype()).contiguous();
    const at::Tensor b = bias.to(wide.dtype()).contiguous();
    const bool plain = !residual.defined() && drop.threshold() == 0;
    at::Tensor z = plain ? x : at::empty_like(x), y = at::empty_like(x);
    at::Tensor mean = at::empty({n}, wide), rstd = at::empty({n}, wide);
    detail::with_storage("layer_norm", x.scalar_type(), [&]<class S>(detail::Storage<S>) {
      using T = detail::Compute<S>;
      const auto& kernel = detail::kernels<S>().row;
      if (!plain) detail::residual_dropout<S>(x, residual, drop, z);
      std::vector<T> moments(static_cast<std::size_t>(2 * n));
      detail::RowNorm<S> a{};
      a.z = detail::data<S>(z);
      detail::parallel_rows(n, d, [&](Index, Index begin, Index end) {
        kernel.row_moments(begin, end, d, a.z, moments.data());
      });
      group_statistics<T>(start, d, eps, moments, detail::mutable_data<T>(mean),
                          detail::mutable_data<T>(rstd));
      a.mean = detail::data<T>(mean);
      a.rstd = detail::data<T>(rstd);
      a.weight = detail::data<T>(w);
      a.bias = detail::data<T>(b);
      a.y = detail::mutable_data<S>(y);
      detail::parallel_rows(
          n, d, [&](Index, Index begin, Index end) { kernel.row_norm(begin, end, d, a); });
    });
    ctx->save_for_backward({z, weight, mean, rstd, start});
    ctx->saved_data["residual"] = residual.defined();
    ctx->saved_data["p"] = p;
    ctx->saved_data["key"] = key;
    return y;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    detail::first_derivative_only("layer_norm");
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &z = saved[0], &weight = saved[1];
    const at::Tensor g = grads[0].contiguous();
    at::Tensor dz = at::empty_like(z), dw = at::empty_like(weight), db = at::empty_like(weight);
    at::Tensor dx = dz;
    detail::with_storage("layer_norm", z.scalar_type(), [&]<class S>(detail::Storage<S>) {
      gradients<S>(saved, g, dz, dw, db);
      const detail::Dropout drop{ctx->saved_data["p"].toDouble(),
                                 static_cast<std::uint64_t>(ctx->saved_data["key"].toInt())};
      if (drop.threshold() == 0) return;
      dx = at::empty_like(dz);
      detail::residual_dropout<S>(dz, at::Tensor(), drop, dx);
    });
    const at::Tensor none, dr = ctx->saved_data["residual"].toBool() ? dz : none;
    return {dx, dr, dw, db, none, none, none, none};
  }

 private:
  // saved: z, weight, mean, rstd, start
  template <class S>
  static void gradients(const variable_list& saved, const at::Tensor& g, at::Tensor& dz,
                        at::Tensor& dw, at::Tensor& db) {
    using T = detail::Compute<S>;
    const auto& kernel = detail::kernels<S>().row;
    const Index n = g.size(0), d = g.size(1), blocks = detail::chunks(n);
    const at::Tensor w = saved[1].to(detail::compute_type(g.scalar_type())).contiguous();
    std::vector<T> sums(static_cast<std::size_t>(2 * n));
    detail::RowNorm<S> a{};
    a.z = detail::data<S>(saved[0]);
    a.weight = detail::data<T>(w);
    a.mean = detail::data<T>(saved[2]);
    a.rstd = detail::data<T>(saved[3]);
    a.g = detail::data<S>(g);
    a.sums = sums.data();
    a.dz = detail::mutable_data<S>(dz);
    detail::parallel_rows(
        n, d, [&](Index, Index begin, Index end) { kernel.row_norm_sums(begin, end, d, a); });
    group_means<T>(saved[4], d, sums);
    std::vector<T> partial(static_cast<std::size_t>(2 * blocks * d));
    detail::parallel_rows(n, d, [&](Index t, Index begin, Index end) {
      detail::RowNorm<S> block = a;
      block.dweight = partial.data() + 2 * t * d;
      block.dbias = block.dweight + d;
      kernel.row_norm_backward(begin, end, d, block);
    });
    std::vector<double> total(static_cast<std::size_t>(2 * d));
    for (std::size_t i = 0; i < partial.size(); ++i) total[i % total.size()] += partial[i];
    dw.copy_(at::from_blob(total.data(), {d}, at::kDouble));
    db.copy_(at::from_blob(total.data() + d, {d}, at::kDouble));
  }
};

void check(const char* op, const at::Tensor& x, const at::Tensor& residual,
           const at::Tensor& weight, const at::Tensor& bias, const LayerNormOptions& options) {
  TORCH_CHECK(x.dim() == 2, "[", op, "] x has shape ", x.sizes(), "; expected [N, D]");
  TORCH_CHECK(!residual.defined() ||
                  (residual.sizes() == x.sizes() && residual.scalar_type() == x.scalar_type()),
              "[", op, "] residual has shape ", residual.sizes(), " and type ",
              residual.scalar_type(), "; expected ", x.sizes(), " and ", x.scalar_type(), " as x");
  TORCH_CHECK(weight.dim() == 1 && weight.size(0) == x.size(1) && bias.sizes() == weight.sizes(),
              "[", op, "] weight and bias have shapes ", weight.sizes(), " and ", bias.sizes(),
              "; expected [", x.size(1), "]");
  TORCH_CHECK(options.dropout >= 0 && options.dropout < 1, "[", op, "] dropout is ",
              options.dropout, "; expected [0, 1)");
}

}  // namespace

at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& weight,
                      const at::Tensor& bias, const LayerNormOptions& options) {
  check("layer_norm", x, residual, weight, bias, options);
  const detail::OpCount count;
  if (count) {
    count.add(Work::kNorm, detail::norm_flops(x.numel(), x.size(0)), weight);
    if (residual.defined()) count.add(Work::kElement, detail::flops(x.numel()), weight);
  }
  if (detail::on_device("layer_norm", x, residual)) {
    return device::layer_norm(x, residual, weight, bias, options);
  }
  return RowNormFunction::apply(x, detail::optional(residual), weight, bias, std::nullopt,
                                options.eps, options.dropout, static_cast<Index>(options.key));
}

at::Tensor graph_norm(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& weight,
                      const at::Tensor& bias, const at::Tensor& graph_start,
                      const LayerNormOptions& options) {
  check("graph_norm", x, residual, weight, bias, options);
  const Index* start = detail::check_start("graph_norm", "graph_start", graph_start);
  const Index end = start[graph_start.size(0) - 1];
  TORCH_CHECK(end == x.size(0), "[graph_norm] graph_start ends at ", end, "; expected ", x.size(0),
              " rows of x");
  const detail::OpCount count;
  if (count) {
    std::int64_t graphs = 0;
    for (Index g = 0; g + 1 < graph_start.size(0); ++g) graphs += start[g + 1] > start[g] ? 1 : 0;
    count.add(Work::kNorm, detail::norm_flops(x.numel(), graphs), weight);
    if (residual.defined()) count.add(Work::kElement, detail::flops(x.numel()), weight);
  }
  if (detail::on_device("graph_norm", x, residual)) {
    return device::graph_norm(x, residual, weight, bias, graph_start, options);
  }
  return RowNormFunction::apply(x, detail::optional(residual), weight, bias,
                                std::optional<at::Tensor>(graph_start), options.eps,
                                options.dropout, static_cast<Index>(options.key));
}

}  // namespace gtrain::ops

#include "gtrain/ops/row.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <vector>

#include "ops/detail/device.h"
#include "ops/detail/first_derivative.h"
#include "ops/detail/op_count.h"
#include "ops/detail/optional.h"
#include "ops/detail/residual_dropout.h"

namespace gtrain::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Index = std::int64_t;

class ActivateRows : public torch::autograd::Function<ActivateRows> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_in,
                            const std::optional<at::Tensor>& bias_in,
                            const std::optional<at::Tensor>& residual_in, Index activation,
                            double p, Index key) {
    const at::Tensor x = x_in.contiguous();
    const at::Tensor bias = bias_in.value_or(at::Tensor());
    const at::Tensor residual = residual_in ? residual_in->contiguous() : at::Tensor();
    at::Tensor y = at::empty_like(x);
    const at::Tensor wide = widened(bias, x);
    detail::with_storage("activate_rows", x.scalar_type(), [&]<class S>(detail::Storage<S>) {
      detail::Activate<S> a = arguments<S>(x, wide, activation, p, key);
      if (residual.defined()) a.residual = detail::data<S>(residual);
      a.y = detail::mutable_data<S>(y);
      const Index d = x.size(1);
      detail::parallel_rows(x.size(0), d, [&](Index, Index begin, Index end) {
        detail::kernels<S>().row.activate(begin, end, d, a);
      });
    });
    ctx->save_for_backward({x, bias});
    ctx->saved_data["activation"] = activation;
    ctx->saved_data["p"] = p;
    ctx->saved_data["key"] = key;
    ctx->saved_data["residual"] = residual.defined();
    return y;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    detail::first_derivative_only("activate_rows");
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &bias = saved[1], wide = widened(bias, x);
    const at::Tensor g = grads[0].contiguous();
    at::Tensor dx = at::empty_like(x), dbias;
    detail::with_storage("activate_rows", x.scalar_type(), [&]<class S>(detail::Storage<S>) {
      using T = detail::Compute<S>;
      detail::Activate<S> a =
          arguments<S>(x, wide, ctx->saved_data["activation"].toInt(),
                       ctx->saved_data["p"].toDouble(), ctx->saved_data["key"].toInt());
      a.g = detail::data<S>(g);
      a.dx = detail::mutable_data<S>(dx);
      const Index n = x.size(0), d = x.size(1), blocks = detail::chunks(n);
      std::vector<T> sums(static_cast<std::size_t>(blocks * d));
      detail::parallel_rows(n, d, [&](Index t, Index begin, Index end) {
        detail::Activate<S> block = a;
        block.sums = sums.data() + t * d;
        detail::kernels<S>().row.activate_backward(begin, end, d, block);
      });
      if (!bias.defined()) return;
      std::vector<double> total(static_cast<std::size_t>(d));
      for (std::size_t i = 0; i < sums.size(); ++i) total[i % total.size()] += sums[i];
      dbias = at::empty_like(bias).copy_(at::from_blob(total.data(), {d}, at::kDouble));
    });
    const at::Tensor none;
    return {dx, dbias, ctx->saved_data["residual"].toBool() ? g : none, none, none, none};
  }

 private:
  static at::Tensor widened(const at::Tensor& bias, const at::Tensor& x) {
    return bias.defined() ? bias.to(detail::compute_type(x.scalar_type())).contiguous() : bias;
  }

  template <class S>
  static detail::Activate<S> arguments(const at::Tensor& x, const at::Tensor& bias,
                                       Index activation, double p, Index key) {
    using T = detail::Compute<S>;
    detail::Activate<S> a{};
    a.x = detail::data<S>(x);
    a.bias = bias.defined() ? detail::data<T>(bias) : nullptr;
    a.activation = static_cast<int>(activation);
    a.keep = detail::Dropout{p, static_cast<std::uint64_t>(key)}.keep<T>();
    return a;
  }
};

}  // namespace

at::Tensor activate_rows(const at::Tensor& x, const at::Tensor& bias, const RowOptions& options,
                         const at::Tensor& residual) {
  TORCH_CHECK(x.dim() == 2, "[activate_rows] x has shape ", x.sizes(), "; expected [N, D]");
  TORCH_CHECK(!bias.defined() || (bias.dim() == 1 && bias.size(0) == x.size(1)),
              "[activate_rows] bias has shape ", bias.sizes(), "; expected [", x.size(1), "]");
  TORCH_CHECK(!residual.defined() ||
                  (residual.sizes() == x.sizes() && residual.scalar_type() == x.scalar_type()),
              "[activate_rows] residual has shape ", residual.sizes(), " and type ",
              residual.scalar_type(), "; expected ", x.sizes(), " and ", x.scalar_type(), " as x");
  TORCH_CHECK(options.dropout >= 0 && options.dropout < 1, "[activate_rows] dropout is ",
              options.dropout, "; expected [0, 1)");
  const detail::OpCount count;
  if (count) {
    const double each = (bias.defined() ? 1 : 0) + (residual.defined() ? 1 : 0) +
                        (options.activation == RowActivation::kRelu   ? 1
                         : options.activation == RowActivation::kGelu ? 5
                                                                      : 0);
    count.add(Work::kElement, detail::flops(x.numel(), each), bias);
  }
  if (detail::on_device("activate_rows", x, residual)) {
    return device::activate_rows(x, bias, options, residual);
  }
  return ActivateRows::apply(x, detail::optional(bias), detail::optional(residual),
                             static_cast<Index>(options.activation), options.dropout,
                             static_cast<Index>(options.key));
}

}  // namespace gtrain::ops

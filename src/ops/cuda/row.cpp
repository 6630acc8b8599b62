// Bias, activation, dropout and residual on CUDA tensors.
#include "ops/cuda/row.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "ops/cuda/segment.h"
#include "ops/cuda/tensor.h"
#include "ops/detail/device.h"
#include "ops/detail/first_derivative.h"
#include "ops/detail/optional.h"

namespace gtrain::ops {
namespace {

using cuda::data;
using cuda::Element;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Index = std::int64_t;

template <class S>
cuda::ActivateRows<S> arguments(const at::Tensor& x, const at::Tensor& wide_bias, Index activation,
                                double p, Index key) {
  cuda::ActivateRows<S> a;
  a.rows = x.size(0);
  a.width = x.size(1);
  a.x = data<const S>(x);
  a.bias = data<const cuda::compute_t<S>>(wide_bias);
  a.activation = static_cast<cuda::Activation>(activation);
  a.mask = cuda::mask_of(p, key);
  return a;
}

class ActivateRows : public torch::autograd::Function<ActivateRows> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_in,
                            const std::optional<at::Tensor>& bias,
                            const std::optional<at::Tensor>& residual_in, Index activation,
                            double p, Index key) {
    const at::Tensor x = x_in.contiguous(), residual = cuda::contiguous(residual_in);
    const at::Tensor wide = cuda::as_parameter(bias.value_or(at::Tensor()), x);
    at::Tensor y = at::empty_like(x);
    const cuda::Launches launches(x);
    cuda::with_element("activate_rows", x.scalar_type(), [&]<class S>(Element<S>) {
      cuda::ActivateRows<S> a = arguments<S>(x, wide, activation, p, key);
      a.residual = data<const S>(residual);
      cuda::activate_rows<S>(a, data<S>(y), launches.stream());
    });
    launches.check();
    ctx->save_for_backward({x, bias.value_or(at::Tensor())});
    ctx->saved_data["activation"] = activation;
    ctx->saved_data["p"] = p;
    ctx->saved_data["key"] = key;
    ctx->saved_data["residual"] = residual.defined();
    return y;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    detail::first_derivative_only("activate_rows");
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &bias = saved[1], g = grads[0].contiguous();
    const at::Tensor wide = cuda::as_parameter(bias, x);
    at::Tensor dx = at::empty_like(x), dbias, work;
    if (bias.defined()) {
      dbias = at::empty_like(wide);
      work = cuda::workspace(cuda::segment_workspace(x.size(0), x.size(1)), x);
    }
    const cuda::Launches launches(x);
    cuda::with_element("activate_rows", x.scalar_type(), [&]<class S>(Element<S>) {
      cuda::activate_rows_backward<S>(
          arguments<S>(x, wide, ctx->saved_data["activation"].toInt(),
                       ctx->saved_data["p"].toDouble(), ctx->saved_data["key"].toInt()),
          {data<const S>(g), data<S>(dx), data<cuda::compute_t<S>>(dbias),
           data<unsigned char>(work)},
          launches.stream());
    });
    launches.check();
    const at::Tensor none;
    return {dx,
            bias.defined() ? dbias.to(bias.scalar_type()) : none,
            ctx->saved_data["residual"].toBool() ? g : none,
            none,
            none,
            none};
  }
};

}  // namespace

at::Tensor device::activate_rows(const at::Tensor& x, const at::Tensor& bias,
                                 const RowOptions& options, const at::Tensor& residual) {
  return ActivateRows::apply(x, detail::optional(bias), detail::optional(residual),
                             static_cast<Index>(options.activation), options.dropout,
                             static_cast<Index>(options.key));
}

}  // namespace gtrain::ops

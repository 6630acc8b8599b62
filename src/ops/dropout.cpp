#include "gtrain/ops/dropout.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "ops/detail/device.h"
#include "ops/detail/first_derivative.h"
#include "ops/detail/op_count.h"
#include "ops/detail/optional.h"
#include "ops/detail/random.h"
#include "ops/detail/residual_dropout.h"

namespace gtrain::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

class ResidualDropout : public torch::autograd::Function<ResidualDropout> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x,
                            const std::optional<at::Tensor>& residual, double p, std::int64_t key) {
    at::Tensor z = at::empty(x.sizes(), x.options());
    ctx->saved_data["p"] = p;
    ctx->saved_data["key"] = key;
    ctx->saved_data["residual"] = residual.has_value();
    apply_mask(x.contiguous(), residual ? residual->contiguous() : at::Tensor(), p, key, z);
    return z;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    detail::first_derivative_only("dropout");
    const at::Tensor g = grads[0].contiguous();
    at::Tensor dx = at::empty_like(g);
    apply_mask(g, at::Tensor(), ctx->saved_data["p"].toDouble(), ctx->saved_data["key"].toInt(),
               dx);
    return {dx, ctx->saved_data["residual"].toBool() ? g : at::Tensor(), at::Tensor(),
            at::Tensor()};
  }

 private:
  static void apply_mask(const at::Tensor& x, const at::Tensor& residual, double p,
                         std::int64_t key, at::Tensor& z) {
    detail::with_storage("dropout", x.scalar_type(), [&]<class S>(detail::Storage<S>) {
      detail::residual_dropout<S>(x, residual, {p, static_cast<std::uint64_t>(key)}, z);
    });
  }
};

}  // namespace

at::Tensor dropout(const at::Tensor& x, double p, std::uint64_t key, const at::Tensor& residual) {
  TORCH_CHECK(x.dim() == 2, "[dropout] x has shape ", x.sizes(), "; expected [N, D]");
  TORCH_CHECK(!residual.defined() || residual.sizes() == x.sizes(), "[dropout] residual has shape ",
              residual.sizes(), "; expected ", x.sizes(), " as x");
  TORCH_CHECK(!residual.defined() || residual.scalar_type() == x.scalar_type(),
              "[dropout] residual is ", residual.scalar_type(), "; expected ", x.scalar_type(),
              " as x");
  TORCH_CHECK(p >= 0 && p < 1, "[dropout] p is ", p, "; expected [0, 1)");
  if (p == 0.0) return residual.defined() ? at::add(x, residual) : x;
  const detail::OpCount count;
  if (count && residual.defined()) count.add(Work::kElement, detail::flops(x.numel()));
  if (detail::on_device("dropout", x, residual)) {
    return device::activate_rows(x, at::Tensor(), {RowActivation::kNone, p, key}, residual);
  }
  return ResidualDropout::apply(x, detail::optional(residual), p, static_cast<std::int64_t>(key));
}

}  // namespace gtrain::ops

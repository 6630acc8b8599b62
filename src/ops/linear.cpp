#include "gtrain/ops/linear.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "gtrain/ops/sparse_linear.h"
#include "ops/detail/first_derivative.h"
#include "ops/detail/gemm.h"
#include "ops/detail/kernels.h"
#include "ops/detail/linear_gradient.h"
#include "ops/detail/op_count.h"
#include "ops/detail/optional.h"
#include "ops/detail/parallel.h"

namespace gtrain::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

template <class T>
void forward_rows(const at::Tensor& x, const at::Tensor& w, const at::Tensor& b, bool relu,
                  at::Tensor& y) {
  const std::int64_t n = x.size(0), k = x.size(1), o = w.size(0);
  const auto& kernel = detail::kernels<T>().row;
  const T *xp = x.const_data_ptr<T>(), *wp = w.const_data_ptr<T>();
  const T* bp = b.defined() ? b.const_data_ptr<T>() : nullptr;
  T* yp = y.mutable_data_ptr<T>();
  const at::Tensor transposed = detail::wants_transposed<T>() ? w.t().contiguous() : at::Tensor();
  const T* wt = transposed.defined() ? transposed.const_data_ptr<T>() : nullptr;
  detail::parallel_tasks(detail::chunks(n), n * k * o < 262144, [&](std::int64_t t) {
    const std::int64_t begin = t * detail::kRowChunk;
    const std::int64_t end = std::min(n, begin + detail::kRowChunk);
    detail::product_nt<T>(end - begin, o, k, xp + begin * k, wp, wt, yp + begin * o);
    if (bp != nullptr || relu) kernel.bias_relu(begin, end, o, bp, relu, yp);
  });
}

// One parallel loop: row blocks of dx first, then those of the weight.
template <class T>
void backward_tasks(const at::Tensor& x, const at::Tensor& w, const at::Tensor& dy,
                    detail::LinearGradients& d) {
  const std::int64_t n = x.size(0), k = x.size(1), o = w.size(0);
  const T *wp = w.const_data_ptr<T>(), *gp = dy.const_data_ptr<T>();
  T* dxp = d.x.defined() ? d.x.mutable_data_ptr<T>() : nullptr;
  const std::int64_t rows = dxp != nullptr ? detail::chunks(n) : 0;
  const detail::WeightGradient<T> weight(x, dy, d.weight, d.bias);
  detail::parallel_tasks(rows + weight.tasks(), detail::few_products(x, w), [&](std::int64_t t) {
    if (t >= rows) return weight.run(t - rows);
    const std::int64_t begin = t * detail::kRowChunk;
    const std::int64_t end = std::min(n, begin + detail::kRowChunk);
    detail::product_nn<T>(end - begin, k, o, gp + begin * o, wp, dxp + begin * k);
  });
}

class Linear : public torch::autograd::Function<Linear> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_in, const at::Tensor& w_in,
                            const std::optional<at::Tensor>& bias_in, bool relu) {
    at::Tensor bias = bias_in.value_or(at::Tensor());
    if (bias.defined()) bias = bias.contiguous();
    const at::Tensor x = x_in.contiguous(), w = w_in.contiguous();
    at::Tensor y = at::empty({x.size(0), w.size(0)}, x.options());
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "linear",
                               [&] { forward_rows<scalar_t>(x, w, bias, relu, y); });
    ctx->save_for_backward({x, w, relu ? y : at::Tensor()});
    ctx->saved_data["bias"] = bias.defined();
    return y;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    detail::first_derivative_only("linear");
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &w = saved[1], &y = saved[2];
    at::Tensor dy = grads[0].contiguous();
    detail::LinearGradients d = detail::wanted_gradients(ctx, x, w);
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "linear_backward", [&] {
      if (y.defined()) {
        const at::Tensor masked = at::empty_like(dy);
        const std::int64_t n = dy.size(0), o = dy.size(1);
        detail::parallel_rows(n, o, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
          detail::kernels<scalar_t>().row.relu_backward(begin, end, o, y.const_data_ptr<scalar_t>(),
                                                        dy.const_data_ptr<scalar_t>(),
                                                        masked.mutable_data_ptr<scalar_t>());
        });
        dy = masked;
      }
      backward_tasks<scalar_t>(x, w, dy, d);
    });
    return {d.x, d.weight, d.bias, at::Tensor()};
  }
};

}  // namespace

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                  bool relu) {
  TORCH_CHECK(x.dim() == 2 && weight.dim() == 2 && x.size(1) == weight.size(1),
              "[linear] x has shape ", x.sizes(), "; expected [N, ", weight.size(-1),
              "] for weight ", weight.sizes());
  TORCH_CHECK(x.scalar_type() == weight.scalar_type(), "[linear] x is ", x.scalar_type(),
              "; expected ", weight.scalar_type(), " as weight");
  TORCH_CHECK(!bias.defined() || (bias.dim() == 1 && bias.size(0) == weight.size(0) &&
                                  bias.scalar_type() == x.scalar_type()),
              "[linear] bias has shape ", bias.sizes(), " and type ", bias.scalar_type(),
              "; expected [", weight.size(0), "] and ", x.scalar_type());
  if (const WeightPattern* pattern = kept_pattern(weight)) {
    return sparse_linear(x, weight, *pattern, bias, relu);
  }
  const detail::OpCount count;
  if (count) {
    count.product(x.size(0), weight, bias);
    if (relu) count.add(Work::kElement, detail::flops(x.size(0) * weight.size(0)), weight);
  }
  if (!x.is_cpu()) {  // cuBLAS
    const at::Tensor y = at::linear(x, weight, detail::optional(bias));
    return relu ? at::relu(y) : y;
  }
  if (x.scalar_type() == at::kBFloat16 || x.scalar_type() == at::kHalf) {
    const at::Tensor wide = bias.defined() ? bias.to(at::kFloat) : bias;
    return Linear::apply(x.to(at::kFloat), weight.to(at::kFloat), detail::optional(wide), relu)
        .to(x.scalar_type());
  }
  return Linear::apply(x, weight, detail::optional(bias), relu);
}

}  // namespace gtrain::ops

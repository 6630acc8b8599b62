#include "gtrain/ops/sparse_linear.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <memory>
#include <mutex>
#include <new>
#include <vector>

#include "gtrain/ops/linear.h"
#include "ops/detail/first_derivative.h"
#include "ops/detail/kernels.h"
#include "ops/detail/linear_gradient.h"
#include "ops/detail/op_count.h"
#include "ops/detail/optional.h"
#include "ops/detail/parallel.h"
#include "ops/detail/sparse_product.h"

namespace gtrain::ops {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// One side of a pattern: rows with their columns, or columns with their rows.
struct Side {
  const at::Tensor& start;
  const at::Tensor& index;
  std::int64_t inputs;
};

// Values of the entries in the order of a side: of w by rows, or of w by columns.
template <class T>
std::vector<T> values_of(const at::Tensor& w, const Side& side, bool by_columns) {
  const auto* start = side.start.const_data_ptr<std::int64_t>();
  const auto* index = side.index.const_data_ptr<std::int32_t>();
  const T* from = w.const_data_ptr<T>();
  const std::int64_t k = w.size(1), lines = side.start.size(0) - 1;
  std::vector<T> out(static_cast<std::size_t>(side.index.size(0)));
  for (std::int64_t line = 0; line < lines; ++line) {
    for (std::int64_t p = start[line]; p < start[line + 1]; ++p) {
      out[static_cast<std::size_t>(p)] =
          by_columns ? from[index[p] * k + line] : from[line * k + index[p]];
    }
  }
  return out;
}

template <class T>
void product(const at::Tensor& x, const Side& side, const std::vector<T>& values, const T* bias,
             bool relu, at::Tensor& y) {
  constexpr std::align_val_t kAligned{64};
  const std::int64_t n = x.size(0), k = side.inputs, o = side.start.size(0) - 1;
  const T* xp = x.const_data_ptr<T>();
  T* yp = y.mutable_data_ptr<T>();
  const auto free = [](T* p) { ::operator delete(p, kAligned); };
  const auto bytes = static_cast<std::size_t>(detail::kSparseRows * (k + o)) * sizeof(T);
  const auto work = n * static_cast<std::int64_t>(values.size());
  const auto kernel = detail::sparse_product_kernel<T>();
  detail::parallel_tasks(detail::chunks(n), work < 65536, [&](std::int64_t t) {
    const std::int64_t begin = t * detail::kRowChunk;
    const std::unique_ptr<T, decltype(free)> scratch(
        static_cast<T*>(::operator new(bytes, kAligned)), free);
    kernel({std::min(detail::kRowChunk, n - begin), k, o, xp + begin * k,
            side.start.const_data_ptr<std::int64_t>(), side.index.const_data_ptr<std::int32_t>(),
            values.data(), bias, relu, yp + begin * o, scratch.get()});
  });
}

class SparseLinear : public torch::autograd::Function<SparseLinear> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_in, const at::Tensor& w_in,
                            const std::optional<at::Tensor>& bias_in, const WeightPattern& pattern,
                            bool relu) {
    at::Tensor bias = bias_in.value_or(at::Tensor());
    if (bias.defined()) bias = bias.contiguous();
    const at::Tensor x = x_in.contiguous(), w = w_in.contiguous();
    at::Tensor y = at::empty({x.size(0), w.size(0)}, x.options());
    const Side rows{pattern.row_start, pattern.column, pattern.inputs};
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "sparse_linear", [&] {
      const scalar_t* b = bias.defined() ? bias.const_data_ptr<scalar_t>() : nullptr;
      product<scalar_t>(x, rows, values_of<scalar_t>(w, rows, false), b, relu, y);
    });
    ctx->save_for_backward(
        {x, w, relu ? y : at::Tensor(), pattern.column_start, pattern.row, pattern.mask});
    ctx->saved_data["bias"] = bias.defined();
    return y;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    detail::first_derivative_only("sparse_linear");
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &w = saved[1], &y = saved[2];
    at::Tensor dy = grads[0].contiguous();
    if (y.defined()) dy = at::where(y > 0, dy, at::zeros({}, dy.options()));
    detail::LinearGradients d = detail::wanted_gradients(ctx, x, w);
    const Side columns{saved[3], saved[4], w.size(0)};
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "sparse_linear_backward", [&] {
      if (d.x.defined()) {
        product<scalar_t>(dy, columns, values_of<scalar_t>(w, columns, true), nullptr, false, d.x);
      }
      const detail::WeightGradient<scalar_t> weight(x, dy, d.weight, d.bias, saved[5]);
      detail::parallel_tasks(weight.tasks(), detail::few_products(x, w),
                             [&](std::int64_t t) { weight.run(t); });
    });
    return {d.x, d.weight, d.bias, at::Tensor(), at::Tensor()};
  }
};

}  // namespace

WeightPattern weight_pattern(const at::Tensor& weight) {
  TORCH_CHECK(weight.dim() == 2, "[weight_pattern] weight has shape ", weight.sizes(),
              "; expected [O, K]");
  const at::Tensor there = weight.detach().ne(0).cpu().contiguous();
  const auto side = [](const at::Tensor& mask, at::Tensor& start, at::Tensor& index) {
    const at::Tensor counts = mask.sum(1, false, at::kLong).cumsum(0);
    start = at::cat({at::zeros({1}, at::kLong), counts});
    index = mask.nonzero().select(1, 1).to(at::kInt).contiguous();
  };
  WeightPattern out;
  out.inputs = there.size(1);
  side(there, out.row_start, out.column);
  side(there.t(), out.column_start, out.row);
  out.mask = there.to(at::kByte);
  return out;
}

namespace {

// Beside a marked weight.
struct KeptEntries final : c10::BackendMeta {
  std::once_flag once;
  WeightPattern pattern;
};

}  // namespace

void leave_zeros_out(const at::Tensor& weight) {
  weight.unsafeGetTensorImpl()->set_backend_meta(c10::make_intrusive<KeptEntries>());
}

const WeightPattern* kept_pattern(const at::Tensor& weight) {
  auto* kept = dynamic_cast<KeptEntries*>(weight.unsafeGetTensorImpl()->get_backend_meta());
  if (kept == nullptr) return nullptr;
  std::call_once(kept->once, [&] { kept->pattern = weight_pattern(weight); });
  return &kept->pattern;
}

at::Tensor sparse_linear(const at::Tensor& x, const at::Tensor& weight,
                         const WeightPattern& pattern, const at::Tensor& bias, bool relu) {
  TORCH_CHECK(weight.dim() == 2 && weight.size(1) == pattern.inputs &&
                  weight.size(0) + 1 == pattern.row_start.size(0),
              "[sparse_linear] weight has shape ", weight.sizes(), "; expected [",
              pattern.row_start.size(0) - 1, ", ", pattern.inputs, "] of its pattern");
  const bool plain = x.scalar_type() == at::kFloat || x.scalar_type() == at::kDouble;
  if (!x.is_cpu() || !plain) {
    const at::Tensor mask = pattern.mask.to(weight.device(), weight.scalar_type());
    return linear(x, weight * mask, bias, relu);  // a product has no mark
  }
  TORCH_CHECK(
      x.dim() == 2 && x.size(1) == pattern.inputs && x.scalar_type() == weight.scalar_type(),
      "[sparse_linear] x is ", x.scalar_type(), " ", x.sizes(), "; expected ", weight.scalar_type(),
      " [N, ", pattern.inputs, "]");
  TORCH_CHECK(!bias.defined() || (bias.dim() == 1 && bias.size(0) == weight.size(0) &&
                                  bias.scalar_type() == x.scalar_type()),
              "[sparse_linear] bias has shape ", bias.sizes(), "; expected [", weight.size(0), "]");
  const detail::OpCount count;
  if (count) {
    const std::int64_t added = bias.defined() ? weight.size(0) : 0;
    count.add(Work::kProduct, detail::flops(x.size(0) * (2 * pattern.entries() + added)), weight);
    if (relu) count.add(Work::kElement, detail::flops(x.size(0) * weight.size(0)), weight);
  }
  return SparseLinear::apply(x, weight, detail::optional(bias), pattern, relu);
}

}  // namespace gtrain::ops

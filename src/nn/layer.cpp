#include "gtrain/nn/layer.h"

#include <cmath>
#include <numbers>

#include "gtrain/ops/dropout.h"

namespace gtrain::nn {

std::uint64_t Context::next_key() { return base::mix(key + ++drawn_); }

const at::Tensor* Context::next_mask() {
  if (masks == nullptr) return nullptr;
  TORCH_CHECK(replayed_ < masks->size(), "[dropout] only ", masks->size(),
              " masks were recorded; expected one more");
  return &(*masks)[replayed_++];
}

at::Tensor Layer::parameter(const std::string& name, std::vector<std::int64_t> shape) {
  return register_parameter(name, at::zeros(shape, at::kFloat));
}

at::Tensor Layer::buffer(const std::string& name, at::Tensor value) {
  return register_buffer(name, std::move(value));
}

void draw_uniform(const at::Tensor& tensor, double bound, base::Random& random) {
  const at::Tensor values = at::empty(tensor.sizes(), at::kDouble);
  double* p = values.mutable_data_ptr<double>();
  for (std::int64_t i = 0; i < values.numel(); ++i) p[i] = bound * (2 * random.uniform() - 1);
  const at::NoGradGuard guard;
  tensor.copy_(values);
}

void draw_normal(const at::Tensor& tensor, double deviation, base::Random& random) {
  const at::Tensor values = at::empty(tensor.sizes(), at::kDouble);
  double* p = values.mutable_data_ptr<double>();
  for (std::int64_t i = 0; i < values.numel(); ++i) {
    const double radius = std::sqrt(-2 * std::log(1 - random.uniform()));  // Box–Muller
    p[i] = deviation * radius * std::cos(2 * std::numbers::pi * random.uniform());
  }
  const at::NoGradGuard guard;
  tensor.copy_(values);
}

at::Tensor drop(const at::Tensor& x, double p, Context& context, const at::Tensor& residual) {
  if (!context.training || p == 0) return residual.defined() ? x + residual : x;
  if (const at::Tensor* mask = context.next_mask()) {
    const at::Tensor kept = x * mask->to(x.scalar_type()) / (1 - p);
    return residual.defined() ? kept + residual : kept;
  }
  return ops::dropout(x, p, context.next_key(), residual);
}

}  // namespace gtrain::nn

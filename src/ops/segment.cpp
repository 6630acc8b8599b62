#include "gtrain/ops/segment.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "ops/detail/kernels.h"
#include "ops/detail/parallel.h"

namespace gtrain::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

class SegmentSum : public torch::autograd::Function<SegmentSum> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_in, const at::Tensor& start,
                            bool mean) {
    const at::Tensor x = x_in.contiguous();
    const std::int64_t g = start.size(0) - 1, d = x.size(1);
    at::Tensor out = at::empty({g, d}, x.options());
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "segment_sum", [&] {
      detail::parallel_tasks(g, x.numel() < 65536, [&](std::int64_t t) {
        detail::kernels<scalar_t>().segment_sum(t, t + 1, d, x.const_data_ptr<scalar_t>(),
                                                start.const_data_ptr<std::int64_t>(), mean,
                                                out.mutable_data_ptr<scalar_t>());
      });
    });
    ctx->save_for_backward({start});
    ctx->saved_data["mean"] = mean;
    return out;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const at::Tensor start = ctx->get_saved_variables()[0];
    const at::Tensor count = start.slice(0, 1) - start.slice(0, 0, -1);
    at::Tensor g = grads[0];
    if (ctx->saved_data["mean"].toBool()) {
      g = g / count.clamp_min(1).to(g.scalar_type()).unsqueeze(1);
    }
    return {at::repeat_interleave(g, count, 0), at::Tensor(), at::Tensor()};
  }
};

void check(const char* op, const at::Tensor& x, const at::Tensor& start) {
  TORCH_CHECK(x.dim() == 2, "[", op, "] x has shape ", x.sizes(), "; expected [N, D]");
  TORCH_CHECK(start.dim() == 1 && start.size(0) >= 1 && start.scalar_type() == at::kLong, "[", op,
              "] start has shape ", start.sizes(), "; expected int64 [G+1]");
}

}  // namespace

at::Tensor segment_sum(const at::Tensor& x, const at::Tensor& start) {
  check("segment_sum", x, start);
  return SegmentSum::apply(x, start, false);
}

at::Tensor segment_mean(const at::Tensor& x, const at::Tensor& start) {
  check("segment_mean", x, start);
  return SegmentSum::apply(x, start, true);
}

at::Tensor segment_max(const at::Tensor& x, const at::Tensor& start) {
  check("segment_max", x, start);
  const std::int64_t g = start.size(0) - 1;
  const std::int64_t* s = start.const_data_ptr<std::int64_t>();
  std::vector<at::Tensor> rows;
  rows.reserve(static_cast<std::size_t>(g));
  for (std::int64_t i = 0; i < g; ++i) {
    rows.push_back(s[i + 1] == s[i] ? at::zeros({x.size(1)}, x.options())
                                    : std::get<0>(x.slice(0, s[i], s[i + 1]).max(0)));
  }
  return rows.empty() ? at::empty({0, x.size(1)}, x.options()) : at::stack(rows);
}

}  // namespace gtrain::ops

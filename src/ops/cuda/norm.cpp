// Batch, layer and graph norm on CUDA tensors.
#include "ops/cuda/norm.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

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

enum class Kind : Index { kTraining, kInference, kLayer, kGraph };

// What the three norms share. start: of the graphs; running_*: of batch norm.
struct Call {
  Kind kind = Kind::kTraining;
  double eps = 1e-5, p = 0, momentum = 0.1;
  Index key = 0;
  at::Tensor running_mean, running_var, start;
};

Index statistics_of(const Call& call, const at::Tensor& x) {
  if (call.kind == Kind::kLayer) return x.size(0);
  return call.kind == Kind::kGraph ? call.start.size(0) - 1 : x.size(1);
}

std::size_t workspace_bytes(const Call& call, const at::Tensor& x) {
  const Index graphs = call.start.defined() ? call.start.size(0) - 1 : 0;
  return cuda::segment_workspace(std::max(x.size(0), graphs), x.size(1));
}

// 2 G D + 2 G numbers for graph norm, else nothing.
at::Tensor scratch_of(const Call& call, const at::Tensor& x) {
  const Index graphs = call.kind == Kind::kGraph ? call.start.size(0) - 1 : 0;
  return at::empty({2 * graphs * (x.size(1) + 1)}, cuda::compute_options(x));
}

cuda::Segments segments_of(const Call& call, const at::Tensor& x) {
  return {x.size(0), call.start.size(0) - 1, x.size(1), data<const Index>(call.start)};
}

template <class S>
void run_forward(const Call& call, const at::Tensor& x, const cuda::Norm<S>& norm,
                 const cuda::Running<S>& running, cuda::Stream stream) {
  const at::Tensor work = cuda::workspace(workspace_bytes(call, x), x);
  const Index n = x.size(0), d = x.size(1);
  switch (call.kind) {
    case Kind::kTraining:
      return cuda::batch_norm<S>(n, d, norm, running, work.mutable_data_ptr(), stream);
    case Kind::kInference:
      return cuda::batch_norm_inference<S>(n, d, norm, running, stream);
    case Kind::kLayer:
      return cuda::layer_norm<S>(n, d, norm, stream);
    case Kind::kGraph: {
      const at::Tensor scratch = scratch_of(call, x);
      return cuda::graph_norm<S>(segments_of(call, x), norm, data<cuda::compute_t<S>>(scratch),
                                 work.mutable_data_ptr(), stream);
    }
  }
}

template <class S>
void run_backward(const Call& call, const at::Tensor& z, const cuda::NormGradient<S>& gradient,
                  cuda::Stream stream) {
  const at::Tensor work = cuda::workspace(workspace_bytes(call, z), z);
  const Index n = z.size(0), d = z.size(1);
  if (call.kind == Kind::kLayer) {
    cuda::layer_norm_backward<S>(n, d, gradient, work.mutable_data_ptr(), stream);
  } else if (call.kind == Kind::kGraph) {
    const at::Tensor scratch = scratch_of(call, z);
    cuda::graph_norm_backward<S>(segments_of(call, z), gradient, data<cuda::compute_t<S>>(scratch),
                                 work.mutable_data_ptr(), stream);
  } else {
    cuda::batch_norm_backward<S>(n, d, gradient, call.kind == Kind::kTraining,
                                 work.mutable_data_ptr(), stream);
  }
}

class NormFunction : public torch::autograd::Function<NormFunction> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_in,
                            const std::optional<at::Tensor>& r_in, const at::Tensor& weight,
                            const at::Tensor& bias, const Call& call) {
    const at::Tensor x = x_in.contiguous(), residual = cuda::contiguous(r_in);
    const at::Tensor w = cuda::as_parameter(weight, x), b = cuda::as_parameter(bias, x);
    const cuda::Mask mask = cuda::mask_of(call.p, call.key);
    const bool plain = !residual.defined() && mask.threshold == 0;
    const auto wide = cuda::compute_options(x);
    at::Tensor z = plain ? x : at::empty_like(x), y = at::empty_like(x);
    const at::Tensor mean = at::empty({statistics_of(call, x)}, wide), rstd = at::empty_like(mean);
    // Running statistics of another type or device are moved there and back.
    const at::Tensor running_mean = cuda::as_parameter(call.running_mean, x);
    const at::Tensor running_var = cuda::as_parameter(call.running_var, x);
    const cuda::Launches launches(x);
    cuda::with_element("norm", x.scalar_type(), [&]<class S>(Element<S>) {
      using A = cuda::compute_t<S>;
      const cuda::Norm<S> norm{data<const S>(x),
                               data<const S>(residual),
                               mask,
                               plain ? nullptr : data<S>(z),
                               data<const A>(w),
                               data<const A>(b),
                               data<A>(mean),
                               data<A>(rstd),
                               data<S>(y),
                               call.eps};
      run_forward<S>(call, x, norm, {data<A>(running_mean), data<A>(running_var), call.momentum},
                     launches.stream());
    });
    launches.check();
    if (call.kind == Kind::kTraining && !running_mean.is_alias_of(call.running_mean)) {
      call.running_mean.copy_(running_mean);
    }
    if (call.kind == Kind::kTraining && !running_var.is_alias_of(call.running_var)) {
      call.running_var.copy_(running_var);
    }
    ctx->save_for_backward({z, weight, mean, rstd, call.start});
    ctx->saved_data["kind"] = static_cast<Index>(call.kind);
    ctx->saved_data["residual"] = residual.defined();
    ctx->saved_data["p"] = call.p;
    ctx->saved_data["key"] = call.key;
    return y;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    detail::first_derivative_only("norm");
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &z = saved[0], &weight = saved[1], &mean = saved[2], &rstd = saved[3];
    const at::Tensor g = grads[0].contiguous(), w = cuda::as_parameter(weight, z);
    Call call;
    call.kind = static_cast<Kind>(ctx->saved_data["kind"].toInt());
    call.start = saved[4];
    const bool residual = ctx->saved_data["residual"].toBool();
    const cuda::Mask mask =
        cuda::mask_of(ctx->saved_data["p"].toDouble(), ctx->saved_data["key"].toInt());
    const bool dropped = mask.threshold != 0;
    const at::Tensor dz = residual || !dropped ? at::empty_like(z) : at::Tensor();
    const at::Tensor dx = dropped ? at::empty_like(z) : at::Tensor();
    const at::Tensor dweight = at::empty_like(w), dbias = at::empty_like(w);
    const cuda::Launches launches(z);
    cuda::with_element("norm", z.scalar_type(), [&]<class S>(Element<S>) {
      using A = cuda::compute_t<S>;
      const cuda::NormGradient<S> gradient{
          data<const S>(g),    data<const S>(z), data<const A>(w), data<const A>(mean),
          data<const A>(rstd), data<S>(dz),      data<S>(dx),      mask,
          data<A>(dweight),    data<A>(dbias)};
      run_backward<S>(call, z, gradient, launches.stream());
    });
    launches.check();
    return {dropped ? dx : dz, residual ? dz : at::Tensor(), dweight.to(weight.scalar_type()),
            dbias.to(weight.scalar_type()), at::Tensor()};
  }
};

}  // namespace

namespace device {

at::Tensor batch_norm(const at::Tensor& x, const at::Tensor& residual, const BatchNormState& state,
                      bool training, double dropout, std::uint64_t key) {
  Call call;
  call.kind = training ? Kind::kTraining : Kind::kInference;
  call.eps = state.eps;
  call.momentum = state.momentum;
  call.running_mean = state.running_mean;
  call.running_var = state.running_var;
  if (!training && residual.defined()) {
    return NormFunction::apply(x + residual, std::nullopt, state.weight, state.bias, call);
  }
  call.p = training ? dropout : 0;
  call.key = static_cast<Index>(key);
  return NormFunction::apply(x, detail::optional(residual), state.weight, state.bias, call);
}

at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& weight,
                      const at::Tensor& bias, const LayerNormOptions& options) {
  const Index limit =
      x.scalar_type() == at::kDouble ? cuda::kLayerNormWidth<double> : cuda::kLayerNormWidth<float>;
  TORCH_CHECK(x.size(1) <= limit, "[layer_norm] x has shape ", x.sizes(), "; expected at most ",
              limit, " columns on CUDA");
  Call call;
  call.kind = Kind::kLayer;
  call.eps = options.eps;
  call.p = options.dropout;
  call.key = static_cast<Index>(options.key);
  return NormFunction::apply(x, detail::optional(residual), weight, bias, call);
}

at::Tensor graph_norm(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& weight,
                      const at::Tensor& bias, const at::Tensor& graph_start,
                      const LayerNormOptions& options) {
  Call call;
  call.kind = Kind::kGraph;
  call.eps = options.eps;
  call.p = options.dropout;
  call.key = static_cast<Index>(options.key);
  call.start = cuda::index_on(graph_start, x);
  return NormFunction::apply(x, detail::optional(residual), weight, bias, call);
}

}  // namespace device
}  // namespace gtrain::ops

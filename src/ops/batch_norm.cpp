#include "gtrain/ops/batch_norm.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <vector>

#include "ops/detail/kernels.h"
#include "ops/detail/optional.h"
#include "ops/detail/parallel.h"
#include "ops/detail/random.h"
#include "ops/detail/residual_dropout.h"

namespace gtrain::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Mean and biased variance of the columns of z: block moments merged in block order.
template <class T>
void statistics(const at::Tensor& z, std::vector<double>& mean, std::vector<double>& variance) {
  const std::int64_t n = z.size(0), d = z.size(1), blocks = detail::chunks(n);
  std::vector<T> partial(static_cast<std::size_t>(2 * blocks * d));
  const T* zp = z.const_data_ptr<T>();
  detail::parallel_rows(n, d, [&](std::int64_t t, std::int64_t begin, std::int64_t end) {
    T* at = partial.data() + 2 * t * d;
    detail::kernels<T>().moments(begin, end, d, zp, at, at + d);
  });
  mean.assign(static_cast<std::size_t>(d), 0.0);
  variance.assign(static_cast<std::size_t>(d), 0.0);
  double seen = 0;
  for (std::int64_t t = 0; t < blocks; ++t) {
    const double rows = static_cast<double>(std::min(detail::kRowChunk, n - t * detail::kRowChunk));
    const T* at = partial.data() + 2 * t * d;
    for (std::size_t c = 0; c < mean.size(); ++c) {
      const double delta = static_cast<double>(at[c]) - mean[c];
      mean[c] += delta * rows / (seen + rows);
      variance[c] += static_cast<double>(at[static_cast<std::size_t>(d) + c]) +
                     delta * delta * seen * rows / (seen + rows);
    }
    seen += rows;
  }
  for (double& v : variance) v /= seen > 0 ? seen : 1;
}

template <class T>
void update_running(at::Tensor& running, const std::vector<double>& batch, double momentum,
                    double correction) {
  T* p = running.mutable_data_ptr<T>();
  for (std::size_t c = 0; c < batch.size(); ++c) {
    p[c] = static_cast<T>((1 - momentum) * p[c] + momentum * correction * batch[c]);
  }
}

class BatchNorm : public torch::autograd::Function<BatchNorm> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x_in,
                            const std::optional<at::Tensor>& r_in, const at::Tensor& weight,
                            const at::Tensor& bias, at::Tensor running_mean, at::Tensor running_var,
                            bool training, double momentum, double eps, double p,
                            std::int64_t key) {
    const at::Tensor x = x_in.contiguous();
    const at::Tensor residual = r_in ? r_in->contiguous() : at::Tensor();
    const std::int64_t n = x.size(0), d = x.size(1);
    const detail::Dropout drop{training ? detail::drop_threshold(p) : 0, 1 / (1 - p),
                               static_cast<std::uint64_t>(key)};
    const bool plain = !residual.defined() && drop.threshold == 0;
    at::Tensor z = plain ? x : at::empty_like(x);
    at::Tensor y = at::empty_like(x);
    at::Tensor mean = at::empty({d}, x.options()), rstd = at::empty({d}, x.options());
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "batch_norm", [&] {
      if (!plain) detail::residual_dropout<scalar_t>(x, residual, drop, z);
      scalar_t* mp = mean.mutable_data_ptr<scalar_t>();
      scalar_t* sp = rstd.mutable_data_ptr<scalar_t>();
      std::vector<double> batch_mean, batch_var;
      if (training) {
        statistics<scalar_t>(z, batch_mean, batch_var);
        const double rows = static_cast<double>(n);
        update_running<scalar_t>(running_mean, batch_mean, momentum, 1.0);
        update_running<scalar_t>(running_var, batch_var, momentum, n > 1 ? rows / (rows - 1) : 1.0);
      } else {
        const scalar_t* rm = running_mean.const_data_ptr<scalar_t>();
        const scalar_t* rv = running_var.const_data_ptr<scalar_t>();
        batch_mean.assign(rm, rm + d);
        batch_var.assign(rv, rv + d);
      }
      std::vector<scalar_t> scale(static_cast<std::size_t>(d));
      for (std::size_t c = 0; c < scale.size(); ++c) {
        const double r = 1 / std::sqrt(batch_var[c] + eps);
        mp[c] = static_cast<scalar_t>(batch_mean[c]);
        sp[c] = static_cast<scalar_t>(r);
        scale[c] = static_cast<scalar_t>(weight.const_data_ptr<scalar_t>()[c] * r);
      }
      detail::parallel_rows(n, d, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
        detail::kernels<scalar_t>().scale_shift(begin, end, d, z.const_data_ptr<scalar_t>(), mp,
                                                scale.data(), bias.const_data_ptr<scalar_t>(),
                                                y.mutable_data_ptr<scalar_t>());
      });
    });
    ctx->save_for_backward({z, weight, mean, rstd});
    ctx->saved_data["training"] = training;
    ctx->saved_data["residual"] = residual.defined();
    ctx->saved_data["threshold"] = static_cast<std::int64_t>(drop.threshold);
    ctx->saved_data["p"] = p;
    ctx->saved_data["key"] = key;
    return y;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &z = saved[0], &weight = saved[1], &mean = saved[2], &rstd = saved[3];
    const at::Tensor g = grads[0].contiguous();
    const std::int64_t n = z.size(0), d = z.size(1), blocks = detail::chunks(n);
    at::Tensor dz = at::empty_like(z), dw = at::empty_like(weight), db = at::empty_like(weight);
    at::Tensor dx = dz;
    AT_DISPATCH_FLOATING_TYPES(z.scalar_type(), "batch_norm_backward", [&] {
      const auto& kernel = detail::kernels<scalar_t>();
      const scalar_t *gp = g.const_data_ptr<scalar_t>(), *zp = z.const_data_ptr<scalar_t>();
      const scalar_t* mp = mean.const_data_ptr<scalar_t>();
      std::vector<scalar_t> partial(static_cast<std::size_t>(2 * blocks * d));
      detail::parallel_rows(n, d, [&](std::int64_t t, std::int64_t begin, std::int64_t end) {
        scalar_t* at = partial.data() + 2 * t * d;
        kernel.norm_sums(begin, end, d, gp, zp, mp, at, at + d);
      });
      std::vector<scalar_t> a(static_cast<std::size_t>(d)), b(a), c(a);
      const double rows = static_cast<double>(n);
      for (std::int64_t i = 0; i < d; ++i) {
        double sum_g = 0, sum_gz = 0;
        for (std::int64_t t = 0; t < blocks; ++t) {
          sum_g += partial[static_cast<std::size_t>(2 * t * d + i)];
          sum_gz += partial[static_cast<std::size_t>((2 * t + 1) * d + i)];
        }
        const double r = rstd.const_data_ptr<scalar_t>()[i];
        const double w = weight.const_data_ptr<scalar_t>()[i];
        dw.mutable_data_ptr<scalar_t>()[i] = static_cast<scalar_t>(sum_gz * r);
        db.mutable_data_ptr<scalar_t>()[i] = static_cast<scalar_t>(sum_g);
        const auto at = static_cast<std::size_t>(i);
        const bool training = ctx->saved_data["training"].toBool();
        a[at] = static_cast<scalar_t>(w * r);
        b[at] = training ? static_cast<scalar_t>(-w * r * r * r * sum_gz / rows) : scalar_t{0};
        c[at] = training ? static_cast<scalar_t>(-w * r * sum_g / rows) : scalar_t{0};
      }
      detail::parallel_rows(n, d, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
        kernel.norm_backward(begin, end, d, gp, zp, mp, a.data(), b.data(), c.data(),
                             dz.mutable_data_ptr<scalar_t>());
      });
      const auto threshold = static_cast<std::uint32_t>(ctx->saved_data["threshold"].toInt());
      if (threshold != 0) {
        dx = at::empty_like(dz);
        detail::residual_dropout<scalar_t>(
            dz, at::Tensor(),
            {threshold, 1 / (1 - ctx->saved_data["p"].toDouble()),
             static_cast<std::uint64_t>(ctx->saved_data["key"].toInt())},
            dx);
      }
    });
    const at::Tensor none;
    return {dx,   ctx->saved_data["residual"].toBool() ? dz : none,
            dw,   db,
            none, none,
            none, none,
            none, none,
            none};
  }
};

}  // namespace

at::Tensor batch_norm(const at::Tensor& x, const at::Tensor& residual, const BatchNormState& state,
                      bool training, double dropout, std::uint64_t key) {
  TORCH_CHECK(x.dim() == 2 && x.size(1) == state.weight.size(0), "[batch_norm] x has shape ",
              x.sizes(), "; expected [N, ", state.weight.size(0), "] as weight");
  TORCH_CHECK(!residual.defined() || residual.sizes() == x.sizes(),
              "[batch_norm] residual has shape ", residual.sizes(), "; expected ", x.sizes(),
              " as x");
  if (x.size(0) == 0) {  // there are no statistics to take
    return residual.defined() ? at::add(x, residual) : x;
  }
  return BatchNorm::apply(x, detail::optional(residual), state.weight, state.bias,
                          state.running_mean, state.running_var, training, state.momentum,
                          state.eps, dropout, static_cast<std::int64_t>(key));
}

}  // namespace gtrain::ops

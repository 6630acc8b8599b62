#include "gtrain/ops/batch_norm.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <vector>

#include "ops/detail/device.h"
#include "ops/detail/dtype.h"
#include "ops/detail/first_derivative.h"
#include "ops/detail/kernels.h"
#include "ops/detail/op_count.h"
#include "ops/detail/optional.h"
#include "ops/detail/parallel.h"
#include "ops/detail/random.h"
#include "ops/detail/residual_dropout.h"

namespace gtrain::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Mean and biased variance of the columns of z: block moments merged in block order.
template <class S>
void statistics(const at::Tensor& z, std::vector<double>& mean, std::vector<double>& variance) {
  using T = detail::Compute<S>;
  const std::int64_t n = z.size(0), d = z.size(1), blocks = detail::chunks(n);
  std::vector<T> partial(static_cast<std::size_t>(2 * blocks * d));
  const S* zp = detail::data<S>(z);
  detail::parallel_rows(n, d, [&](std::int64_t t, std::int64_t begin, std::int64_t end) {
    T* at = partial.data() + 2 * t * d;
    detail::kernels<S>().row.moments(begin, end, d, zp, at, at + d);
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

std::vector<double> numbers(const at::Tensor& t) {
  const at::Tensor wide = t.to(at::kDouble).contiguous();
  const double* p = wide.const_data_ptr<double>();
  return {p, p + wide.numel()};
}

void update_running(const at::Tensor& running, const std::vector<double>& batch, double momentum,
                    double correction) {
  std::vector<double> value = numbers(running);
  for (std::size_t c = 0; c < batch.size(); ++c) {
    value[c] = (1 - momentum) * value[c] + momentum * correction * batch[c];
  }
  running.copy_(at::from_blob(value.data(), running.sizes(), at::kDouble));
}

struct Statistics {
  std::vector<double> mean, variance;
};

// What the rows are normalised by; in training the running statistics move.
Statistics take_statistics(const at::Tensor& z, const at::Tensor& running_mean,
                           const at::Tensor& running_var, bool training, double momentum) {
  if (!training) return {numbers(running_mean), numbers(running_var)};
  Statistics s;
  detail::with_storage("batch_norm", z.scalar_type(),
                       [&]<class S>(detail::Storage<S>) { statistics<S>(z, s.mean, s.variance); });
  const double rows = static_cast<double>(z.size(0));
  update_running(running_mean, s.mean, momentum, 1.0);
  update_running(running_var, s.variance, momentum, rows > 1 ? rows / (rows - 1) : 1.0);
  return s;
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
    const detail::Dropout drop{training ? p : 0.0, static_cast<std::uint64_t>(key)};
    const bool plain = !residual.defined() && drop.threshold() == 0;
    at::Tensor z = plain ? x : at::empty_like(x);
    at::Tensor y = at::empty_like(x);
    const auto wide = x.options().dtype(detail::compute_type(x.scalar_type()));
    at::Tensor mean = at::empty({d}, wide), rstd = at::empty({d}, wide);
    at::Tensor rounded = at::empty({d}, x.options().dtype(at::kDouble));  // mean, less its value
    detail::with_storage("batch_norm", x.scalar_type(), [&]<class S>(detail::Storage<S>) {
      using T = detail::Compute<S>;
      if (!plain) detail::residual_dropout<S>(x, residual, drop, z);
      const Statistics s = take_statistics(z, running_mean, running_var, training, momentum);
      const std::vector<double> w = numbers(weight), b = numbers(bias);
      T *mp = detail::mutable_data<T>(mean), *rp = detail::mutable_data<T>(rstd);
      double* ep = rounded.mutable_data_ptr<double>();
      std::vector<T> scale(w.size()), shift(b.begin(), b.end());
      for (std::size_t c = 0; c < scale.size(); ++c) {
        const double r = 1 / std::sqrt(s.variance[c] + eps);
        mp[c] = static_cast<T>(s.mean[c]);
        ep[c] = static_cast<double>(mp[c]) - s.mean[c];
        rp[c] = static_cast<T>(r);
        scale[c] = static_cast<T>(w[c] * r);
      }
      const S* zp = detail::data<S>(z);
      S* yp = detail::mutable_data<S>(y);
      detail::parallel_rows(n, d, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
        detail::kernels<S>().row.scale_shift(begin, end, d, zp, mp, scale.data(), shift.data(), yp);
      });
    });
    ctx->save_for_backward({z, weight, mean, rstd, rounded});
    ctx->saved_data["training"] = training;
    ctx->saved_data["residual"] = residual.defined();
    ctx->saved_data["p"] = drop.p;
    ctx->saved_data["key"] = key;
    return y;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    detail::first_derivative_only("batch_norm");
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &z = saved[0], &weight = saved[1];
    const at::Tensor g = grads[0].contiguous();
    at::Tensor dz = at::empty_like(z), dw = at::empty_like(weight), db = at::empty_like(weight);
    at::Tensor dx = dz;
    detail::with_storage("batch_norm", z.scalar_type(), [&]<class S>(detail::Storage<S>) {
      input_gradient<S>(saved, g, ctx->saved_data["training"].toBool(), dz, dw, db);
      const detail::Dropout drop{ctx->saved_data["p"].toDouble(),
                                 static_cast<std::uint64_t>(ctx->saved_data["key"].toInt())};
      if (drop.threshold() == 0) return;
      dx = at::empty_like(dz);
      detail::residual_dropout<S>(dz, at::Tensor(), drop, dx);
    });
    const at::Tensor none;
    return {dx,   ctx->saved_data["residual"].toBool() ? dz : none,
            dw,   db,
            none, none,
            none, none,
            none, none,
            none};
  }

 private:
  // saved: z, weight, mean, rstd, rounded
  template <class S>
  static void input_gradient(const variable_list& saved, const at::Tensor& g, bool training,
                             at::Tensor& dz, at::Tensor& dw, at::Tensor& db) {
    using T = detail::Compute<S>;
    const std::int64_t n = g.size(0), d = g.size(1), blocks = detail::chunks(n);
    const auto& kernel = detail::kernels<S>().row;
    const S *gp = detail::data<S>(g), *zp = detail::data<S>(saved[0]);
    const T* mp = detail::data<T>(saved[2]);
    std::vector<T> partial(static_cast<std::size_t>(2 * blocks * d));
    detail::parallel_rows(n, d, [&](std::int64_t t, std::int64_t begin, std::int64_t end) {
      T* at = partial.data() + 2 * t * d;
      kernel.norm_sums(begin, end, d, gp, zp, mp, at, at + d);
    });
    std::vector<T> a(static_cast<std::size_t>(d)), b(a), c(a);
    const std::vector<double> weight = numbers(saved[1]), rstd = numbers(saved[3]);
    const double* rounded = saved[4].const_data_ptr<double>();
    std::vector<double> sum_g(a.size()), sum_gz(a.size());
    const double rows = static_cast<double>(n);
    for (std::size_t i = 0; i < a.size(); ++i) {
      for (std::int64_t t = 0; t < blocks; ++t) {
        const T* at = partial.data() + 2 * t * d;
        sum_g[i] += at[i];
        sum_gz[i] += at[a.size() + i];
      }
      const double w = weight[i], r = rstd[i];
      sum_gz[i] += rounded[i] * sum_g[i];
      a[i] = static_cast<T>(w * r);
      b[i] = training ? static_cast<T>(-w * r * r * r * sum_gz[i] / rows) : T{0};
      // The kernel subtracts the rounded mean: what that adds to every row, c takes back.
      c[i] = training ? static_cast<T>(-w * r * sum_g[i] / rows + b[i] * rounded[i]) : T{0};
      sum_gz[i] *= r;
    }
    dw.copy_(at::from_blob(sum_gz.data(), {d}, at::kDouble));
    db.copy_(at::from_blob(sum_g.data(), {d}, at::kDouble));
    S* out = detail::mutable_data<S>(dz);
    detail::parallel_rows(n, d, [&](std::int64_t, std::int64_t begin, std::int64_t end) {
      kernel.norm_backward(begin, end, d, gp, zp, mp, a.data(), b.data(), c.data(), out);
    });
  }
};

void check_columns(const char* name, const at::Tensor& t, const at::Tensor& x) {
  TORCH_CHECK(t.dim() == 1 && t.size(0) == x.size(1), "[batch_norm] ", name, " has shape ",
              t.sizes(), "; expected [", x.size(1), "] as the columns of x");
}

}  // namespace

at::Tensor batch_norm(const at::Tensor& x, const at::Tensor& residual, const BatchNormState& state,
                      bool training, double dropout, std::uint64_t key) {
  TORCH_CHECK(x.dim() == 2, "[batch_norm] x has shape ", x.sizes(), "; expected [N, D]");
  check_columns("weight", state.weight, x);
  check_columns("bias", state.bias, x);
  check_columns("running_mean", state.running_mean, x);
  check_columns("running_var", state.running_var, x);
  TORCH_CHECK(!residual.defined() || residual.sizes() == x.sizes(),
              "[batch_norm] residual has shape ", residual.sizes(), "; expected ", x.sizes(),
              " as x");
  TORCH_CHECK(!residual.defined() || residual.scalar_type() == x.scalar_type(),
              "[batch_norm] residual is ", residual.scalar_type(), "; expected ", x.scalar_type(),
              " as x");
  TORCH_CHECK(dropout >= 0 && dropout < 1, "[batch_norm] dropout is ", dropout,
              "; expected [0, 1)");
  if (x.size(0) == 0) {  // there are no statistics to take
    return residual.defined() ? at::add(x, residual) : x;
  }
  const detail::OpCount count;
  if (count) {
    count.add(Work::kNorm,
              training ? detail::norm_flops(x.numel(), x.size(1)) : detail::flops(x.numel(), 2),
              state.weight);
    if (residual.defined()) count.add(Work::kElement, detail::flops(x.numel()), state.weight);
  }
  if (detail::on_device("batch_norm", x, residual)) {
    return device::batch_norm(x, residual, state, training, dropout, key);
  }
  return BatchNorm::apply(x, detail::optional(residual), state.weight, state.bias,
                          state.running_mean, state.running_var, training, state.momentum,
                          state.eps, dropout, static_cast<std::int64_t>(key));
}

}  // namespace gtrain::ops

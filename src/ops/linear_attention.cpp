#include "gtrain/ops/linear_attention.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <vector>

#include "ops/detail/device.h"
#include "ops/detail/dtype.h"
#include "ops/detail/favor_large.h"
#include "ops/detail/first_derivative.h"
#include "ops/detail/op_count.h"
#include "ops/detail/parallel.h"
#include "ops/detail/random.h"
#include "ops/detail/start_check.h"

namespace gtrain::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Index = std::int64_t;

struct Shape {
  Index heads;
  double eps;
  Index padded_length;
};

// The tensors of a call; dout and dqkv are undefined in forward.
struct Tensors {
  at::Tensor qkv, projection, start, out, denominator, maximum, dout, dqkv;
};

template <class S>
detail::FavorHead<S> head(const Tensors& t, const Shape& shape, Index g, Index h) {
  using T = detail::Compute<S>;
  const Index d3 = t.qkv.size(1), d = d3 / 3, width = d / shape.heads;
  const Index* start = detail::data<Index>(t.start);
  const Index row = start[g], column = h * width;
  detail::FavorHead<S> a;
  a.n = start[g + 1] - row;
  a.padding = std::max<Index>(0, shape.padded_length - a.n);
  a.stride = d3;
  a.out_stride = d;
  a.q = detail::data<S>(t.qkv) + row * d3 + column;
  a.k = a.q + d;
  a.v = a.q + 2 * d;
  a.out = detail::mutable_data<S>(t.out) + row * d + column;
  a.denominator = detail::mutable_data<T>(t.denominator) + row * shape.heads + h;
  a.denominator_stride = shape.heads;
  a.maximum = detail::mutable_data<T>(t.maximum) + g * shape.heads + h;
  if (!t.dout.defined()) return a;
  a.dout = detail::data<S>(t.dout) + row * d + column;
  a.dq = detail::mutable_data<S>(t.dqkv) + row * d3 + column;
  a.dk = a.dq + d;
  a.dv = a.dq + 2 * d;
  return a;
}

template <class S>
void for_each_head(const Tensors& t, const Shape& shape) {
  using T = detail::Compute<S>;
  const at::Tensor projection =
      t.projection.to(detail::compute_type(t.qkv.scalar_type())).contiguous();
  const at::Tensor transposed = projection.t().contiguous();
  const Index m = projection.size(0), d = projection.size(1);
  const detail::Favor<S> favor(m, d, detail::data<T>(projection), detail::data<T>(transposed),
                               shape.eps);
  const Index *start = detail::data<Index>(t.start), graphs = t.start.size(0) - 1;
  const auto large = [&](Index g) { return start[g + 1] - start[g] > 2 * detail::kFavorChunk; };
  const bool small = t.qkv.size(0) * shape.heads * m * d < 65536;
  detail::parallel_tasks(graphs * shape.heads, small, [&](Index task) {
    const Index g = task / shape.heads;
    if (start[g] == start[g + 1] || large(g)) return;
    const auto a = head<S>(t, shape, g, task % shape.heads);
    if (t.dout.defined()) {
      favor.backward(a);
    } else {
      favor.forward(a);
    }
  });
  for (Index g = 0; g < graphs; ++g) {
    if (!large(g)) continue;
    std::vector<detail::FavorHead<S>> heads;
    for (Index h = 0; h < shape.heads; ++h) heads.push_back(head<S>(t, shape, g, h));
    detail::LargeFavor<S> parts(favor, std::move(heads));
    if (t.dout.defined()) {
      parts.backward();
    } else {
      parts.forward();
    }
  }
}

class LinearAttention : public torch::autograd::Function<LinearAttention> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& qkv_in,
                            const at::Tensor& projection, const at::Tensor& start, Index heads,
                            double eps, Index padded_length) {
    const at::Tensor qkv = qkv_in.contiguous();
    const auto wide = qkv.options().dtype(detail::compute_type(qkv.scalar_type()));
    const Tensors t{qkv,
                    projection,
                    start,
                    at::empty({qkv.size(0), qkv.size(1) / 3}, qkv.options()),
                    at::empty({qkv.size(0), heads}, wide),
                    at::empty({start.size(0) - 1, heads}, wide),
                    at::Tensor(),
                    at::Tensor()};
    detail::with_storage("linear_attention", qkv.scalar_type(), [&]<class S>(detail::Storage<S>) {
      for_each_head<S>(t, {heads, eps, padded_length});
    });
    ctx->save_for_backward({qkv, projection, start, t.out, t.denominator, t.maximum});
    ctx->saved_data["heads"] = heads;
    ctx->saved_data["eps"] = eps;
    ctx->saved_data["padded_length"] = padded_length;
    return t.out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    detail::first_derivative_only("linear_attention");
    const variable_list s = ctx->get_saved_variables();
    const Tensors t{
        s[0], s[1], s[2], s[3], s[4], s[5], grads[0].contiguous(), at::empty_like(s[0])};
    const Shape shape{ctx->saved_data["heads"].toInt(), ctx->saved_data["eps"].toDouble(),
                      ctx->saved_data["padded_length"].toInt()};
    detail::with_storage("linear_attention", t.qkv.scalar_type(),
                         [&]<class S>(detail::Storage<S>) { for_each_head<S>(t, shape); });
    const at::Tensor none;
    return {t.dqkv, none, none, none, none, none};
  }
};

// Standard normal numbers from a counter.
class Normal {
 public:
  explicit Normal(std::uint64_t key) : key_(key) {}
  double next() {
    const double radius = std::sqrt(-2 * std::log(uniform()));
    return radius * std::cos(6.283185307179586477 * uniform());
  }

 private:
  // In (0, 1).
  double uniform() {
    return (static_cast<double>(detail::row_key(key_, counter_++) >> 12) + 0.5) * 0x1p-52;
  }
  std::uint64_t key_, counter_ = 0;
};

// Gram-Schmidt, twice for orthogonality to rounding, of `count` Gaussian rows.
void orthonormal_rows(Normal& normal, Index count, Index d, double* rows) {
  for (Index i = 0; i < count; ++i) {
    double* r = rows + i * d;
    for (Index c = 0; c < d; ++c) r[c] = normal.next();
    for (int pass = 0; pass < 2; ++pass) {
      for (Index j = 0; j < i; ++j) {
        double dot = 0;
        for (Index c = 0; c < d; ++c) dot += r[c] * rows[j * d + c];
        for (Index c = 0; c < d; ++c) r[c] -= dot * rows[j * d + c];
      }
    }
    double square = 0;
    for (Index c = 0; c < d; ++c) square += r[c] * r[c];
    for (Index c = 0; c < d; ++c) r[c] /= std::sqrt(square);
  }
}

}  // namespace

at::Tensor linear_attention(const at::Tensor& qkv, const at::Tensor& projection,
                            const at::Tensor& graph_start, std::int64_t heads,
                            const LinearAttentionOptions& options) {
  TORCH_CHECK(heads > 0 && qkv.dim() == 2 && qkv.size(1) % (3 * heads) == 0 && qkv.size(1) > 0,
              "[linear_attention] qkv has shape ", qkv.sizes(), "; expected [N, 3 D] with ", heads,
              " heads dividing D");
  const Index d = qkv.size(1) / 3 / heads;
  TORCH_CHECK(projection.dim() == 2 && projection.size(0) > 0 && projection.size(1) == d,
              "[linear_attention] projection has shape ", projection.sizes(), "; expected [m, ", d,
              "]");
  const Index* start = detail::check_start("linear_attention", "graph_start", graph_start);
  const Index end = start[graph_start.size(0) - 1];
  TORCH_CHECK(end == qkv.size(0), "[linear_attention] graph_start ends at ", end, "; expected ",
              qkv.size(0), " rows of qkv");
  TORCH_CHECK(options.eps > 0 && options.padded_length >= 0, "[linear_attention] eps is ",
              options.eps, " and padded_length ", options.padded_length,
              "; expected more than 0, and at least 0");
  const detail::OpCount count;
  if (count) {
    count.add(Work::kAttention, detail::linear_attention_flops(static_cast<double>(end), heads, d,
                                                               projection.size(0)));
  }
  if (detail::on_device("linear_attention", qkv)) {
    return device::linear_attention(qkv, projection, graph_start, heads, options);
  }
  return LinearAttention::apply(qkv, projection.detach(), graph_start, heads, options.eps,
                                options.padded_length);
}

at::Tensor orthogonal_features(std::int64_t m, std::int64_t d, std::uint64_t key) {
  TORCH_CHECK(m > 0 && d > 0, "[orthogonal_features] m is ", m, " and d ", d,
              "; expected at least 1");
  at::Tensor result = at::empty({m, d}, at::kDouble);
  double* rows = detail::mutable_data<double>(result);
  Normal normal(key);
  for (Index first = 0; first < m; first += d) {
    orthonormal_rows(normal, std::min(d, m - first), d, rows + first * d);
  }
  for (Index i = 0; i < m; ++i) {
    double square = 0;
    for (Index c = 0; c < d; ++c) {
      const double x = normal.next();
      square += x * x;
    }
    for (Index c = 0; c < d; ++c) rows[i * d + c] *= std::sqrt(square);
  }
  return result;
}

}  // namespace gtrain::ops

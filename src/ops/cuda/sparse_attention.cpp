// Attention over the pairs of a pattern on CUDA tensors, softmax or with edge features.
#include "ops/cuda/sparse_attention.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "ops/cuda/block_attention.h"
#include "ops/cuda/edge_attention.h"
#include "ops/cuda/tensor.h"
#include "ops/cuda/work_tensor.h"
#include "ops/detail/device.h"
#include "ops/detail/first_derivative.h"
#include "ops/detail/optional.h"
#include "ops/detail/pattern_check.h"

namespace gtrain::ops {
namespace {

using cuda::data;
using cuda::Element;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Index = std::int64_t;

// The CSR arrays on the device, in this order: column, type, row, pair; the starts as they are, for
// the work lists are made of them on the host.
variable_list pattern_on(const AttentionPattern& p, const at::Tensor& x) {
  return {cuda::index_on(p.column, x),
          cuda::index_on(p.type, x),
          cuda::index_on(p.row, x),
          cuda::index_on(p.pair, x),
          p.row_start,
          p.column_start};
}

// A pattern's arrays from a list of saved tensors, with the work over rows and over columns.
struct Pattern {
  at::Tensor column, type, row, pair;
  std::shared_ptr<cuda::WorkTensors> rows, columns;

  Pattern(const variable_list& saved, std::size_t at, const at::Tensor& x)
      : column(saved[at]),
        type(saved[at + 1]),
        row(saved[at + 2]),
        pair(saved[at + 3]),
        rows(cuda::work_on(saved[at + 4], x)),
        columns(cuda::work_on(saved[at + 5], x)) {}
};

template <class Arguments>
void set_heads(Arguments& a, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  using S = std::remove_const_t<std::remove_pointer_t<decltype(a.q)>>;
  a.heads = static_cast<int>(q.size(1));
  a.width = static_cast<int>(q.size(2));
  a.q = data<const S>(q);
  a.k = data<const S>(k);
  a.v = data<const S>(v);
  a.q_stride = q.stride(0);
  a.k_stride = k.stride(0);
  a.v_stride = v.stride(0);
}

template <class Arguments>
void set_gradients(Arguments& g, const at::Tensor& dout, const at::Tensor& dq, const at::Tensor& dk,
                   const at::Tensor& dv, const Pattern& pattern) {
  using S = std::remove_pointer_t<decltype(g.dq)>;
  g.dout = data<const S>(dout);
  g.dq = data<S>(dq);
  g.dk = data<S>(dk);
  g.dv = data<S>(dv);
  g.dq_stride = dq.stride(0);
  g.dk_stride = dk.stride(0);
  g.dv_stride = dv.stride(0);
  g.row = data<const std::int32_t>(pattern.row);
  g.pair = data<const Index>(pattern.pair);
}

at::Tensor packed_like(const at::Tensor& t) { return at::empty(t.sizes(), t.options()); }

struct Softmax {
  double scale = 1, p = 0;
  Index key = 0;
};

class SparseAttention : public torch::autograd::Function<SparseAttention> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& q_in, const at::Tensor& k_in,
                            const at::Tensor& v_in, const std::optional<at::Tensor>& pair_bias_in,
                            const std::optional<at::Tensor>& type_bias_in,
                            const variable_list& index, const Softmax& softmax) {
    variable_list saved{detail::rows_of_heads(q_in),
                        detail::rows_of_heads(k_in),
                        detail::rows_of_heads(v_in),
                        cuda::contiguous(pair_bias_in),
                        cuda::contiguous(type_bias_in),
                        packed_like(q_in),
                        at::empty({q_in.size(0), q_in.size(1)}, cuda::compute_options(q_in))};
    saved.insert(saved.end(), index.begin(), index.end());
    const cuda::Launches launches(q_in);
    cuda::with_element("sparse_attention", q_in.scalar_type(), [&]<class S>(Element<S>) {
      const Pattern pattern(saved, 7, q_in);
      const at::Tensor partial = pattern.rows->partial(q_in.size(1) * (q_in.size(2) + 2), q_in);
      cuda::SparseAttention<S> a = arguments<S>(saved, pattern, softmax);
      a.row_work = pattern.rows->work(partial);
      TORCH_CHECK(cuda::sparse_attention_takes(a), "[sparse_attention] q has shape ", q_in.sizes(),
                  "; expected narrower heads on CUDA (512 channels, 256 of double)");
      cuda::sparse_attention_forward<S>(a, launches.stream());
    });
    launches.check();
    ctx->save_for_backward(saved);
    ctx->saved_data["scale"] = softmax.scale;
    ctx->saved_data["p"] = softmax.p;
    ctx->saved_data["key"] = softmax.key;
    ctx->saved_data["pair_gradient"] = pair_bias_in && pair_bias_in->requires_grad();
    ctx->saved_data["type_gradient"] = type_bias_in && type_bias_in->requires_grad();
    return saved[5];
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    detail::first_derivative_only("sparse_attention");
    const variable_list saved = ctx->get_saved_variables();
    const Softmax softmax{ctx->saved_data["scale"].toDouble(), ctx->saved_data["p"].toDouble(),
                          ctx->saved_data["key"].toInt()};
    const at::Tensor &q = saved[0], dout = grads[0].contiguous();
    const at::Tensor dq = packed_like(q), dk = packed_like(saved[1]), dv = packed_like(saved[2]);
    const at::Tensor none, delta = at::empty_like(saved[6]);
    const bool of_pairs = ctx->saved_data["pair_gradient"].toBool();
    const bool of_types = ctx->saved_data["type_gradient"].toBool();
    const at::Tensor dpair = of_pairs ? packed_like(saved[3]) : none;
    const at::Tensor dtype = of_types ? packed_like(saved[4]) : none;
    const cuda::Launches launches(q);
    cuda::with_element("sparse_attention", q.scalar_type(), [&]<class S>(Element<S>) {
      using A = cuda::compute_t<S>;
      const Pattern pattern(saved, 7, q);
      const Index heads = q.size(1), d = q.size(2);
      const at::Tensor row_partial = pattern.rows->partial(heads * (d + 2), q);
      const at::Tensor column_partial = pattern.columns->partial(2 * heads * d, q);
      cuda::SparseAttention<S> a = arguments<S>(saved, pattern, softmax);
      a.row_work = pattern.rows->work(row_partial);
      cuda::SparseAttentionGradient<S> g;
      set_gradients(g, dout, dq, dk, dv, pattern);
      g.column_work = pattern.columns->work(column_partial);
      g.delta = data<A>(delta);
      g.dpair_bias = data<S>(dpair);
      at::Tensor type_partial;
      if (of_types) {
        type_partial = at::empty({dtype.numel() * g.type_blocks}, cuda::compute_options(q));
        g.dtype_bias = data<S>(dtype);
        g.types = static_cast<int>(dtype.size(0));
        g.type_partial = data<A>(type_partial);
      }
      cuda::sparse_attention_backward<S>(a, g, launches.stream());
    });
    launches.check();
    return {dq, dk, dv, dpair, dtype, none, none};
  }

 private:
  template <class S>
  static cuda::SparseAttention<S> arguments(const variable_list& saved, const Pattern& pattern,
                                            const Softmax& softmax) {
    cuda::SparseAttention<S> a;
    set_heads(a, saved[0], saved[1], saved[2]);
    a.column = data<const std::int32_t>(pattern.column);
    a.type = data<const std::uint8_t>(pattern.type);
    a.pair_bias = data<const S>(saved[3]);
    a.type_bias = data<const S>(saved[4]);
    a.scale = softmax.scale;
    const cuda::Mask mask = cuda::mask_of(softmax.p, softmax.key);
    a.threshold = mask.threshold;
    a.keep_scale = mask.keep_scale;
    a.key = mask.key;
    a.out = data<S>(saved[5]);
    a.lse = data<cuda::compute_t<S>>(saved[6]);
    return a;
  }
};

struct Clamped {
  double scale = 1, clamp = 5, epsilon = 1e-6;
  bool edge_output = false;
};

class EdgeAttention : public torch::autograd::Function<EdgeAttention> {
 public:
  static variable_list forward(AutogradContext* ctx, const at::Tensor& q_in, const at::Tensor& k_in,
                               const at::Tensor& v_in, const std::optional<at::Tensor>& edge_in,
                               const variable_list& index, const Clamped& form) {
    const at::Tensor edge = cuda::contiguous(edge_in);
    const at::Tensor w = form.edge_output && edge.defined() ? at::empty_like(edge) : at::Tensor();
    variable_list saved{detail::rows_of_heads(q_in),
                        detail::rows_of_heads(k_in),
                        detail::rows_of_heads(v_in),
                        edge,
                        packed_like(q_in),
                        at::empty({q_in.size(0), q_in.size(1)}, cuda::compute_options(q_in))};
    saved.insert(saved.end(), index.begin(), index.end());
    const cuda::Launches launches(q_in);
    cuda::with_element("edge_attention", q_in.scalar_type(), [&]<class S>(Element<S>) {
      const Pattern pattern(saved, 6, q_in);
      const at::Tensor partial = pattern.rows->partial(q_in.size(1) * (q_in.size(2) + 1), q_in);
      cuda::EdgeAttention<S> a = arguments<S>(saved, pattern, form);
      a.w = data<S>(w);
      a.row_work = pattern.rows->work(partial);
      TORCH_CHECK(cuda::edge_attention_takes(a), "[edge_attention] q has shape ", q_in.sizes(),
                  "; expected narrower heads on CUDA (512 channels, 256 of double)");
      cuda::edge_attention_forward<S>(a, launches.stream());
    });
    launches.check();
    ctx->save_for_backward(saved);
    ctx->saved_data["scale"] = form.scale;
    ctx->saved_data["clamp"] = form.clamp;
    ctx->saved_data["epsilon"] = form.epsilon;
    ctx->saved_data["edge_gradient"] = edge_in && edge_in->requires_grad();
    ctx->set_materialize_grads(false);  // where w goes nowhere, no zeros [P, D] are made and read
    if (!w.defined()) return {saved[4]};
    return {saved[4], w};
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    detail::first_derivative_only("edge_attention");
    const variable_list saved = ctx->get_saved_variables();
    const Clamped form{ctx->saved_data["scale"].toDouble(), ctx->saved_data["clamp"].toDouble(),
                       ctx->saved_data["epsilon"].toDouble(), false};
    const at::Tensor &q = saved[0], &edge = saved[3];
    const at::Tensor none;
    const at::Tensor dout = grads[0].defined() ? grads[0].contiguous() : at::zeros_like(saved[4]);
    const at::Tensor dw = grads.size() > 1 && grads[1].defined() ? grads[1].contiguous() : none;
    const at::Tensor dq = packed_like(q), dk = packed_like(saved[1]), dv = packed_like(saved[2]);
    const at::Tensor delta = at::empty_like(saved[5]);
    const at::Tensor dedge =
        ctx->saved_data["edge_gradient"].toBool() ? at::empty_like(edge) : none;
    const cuda::Launches launches(q);
    cuda::with_element("edge_attention", q.scalar_type(), [&]<class S>(Element<S>) {
      using A = cuda::compute_t<S>;
      const Pattern pattern(saved, 6, q);
      const Index heads = q.size(1), d = q.size(2);
      const at::Tensor row_partial = pattern.rows->partial(heads * (d + 1), q);
      const at::Tensor column_partial = pattern.columns->partial(2 * heads * d, q);
      cuda::EdgeAttention<S> a = arguments<S>(saved, pattern, form);
      a.row_work = pattern.rows->work(row_partial);
      cuda::EdgeAttentionGradient<S> g;
      set_gradients(g, dout, dq, dk, dv, pattern);
      g.dw = data<const S>(dw);
      g.delta = data<A>(delta);
      g.dedge = data<S>(dedge);
      g.column_work = pattern.columns->work(column_partial);
      cuda::edge_attention_backward<S>(a, g, launches.stream());
    });
    launches.check();
    return {dq, dk, dv, dedge, none, none};
  }

 private:
  template <class S>
  static cuda::EdgeAttention<S> arguments(const variable_list& saved, const Pattern& pattern,
                                          const Clamped& form) {
    cuda::EdgeAttention<S> a;
    set_heads(a, saved[0], saved[1], saved[2]);
    a.edge = data<const S>(saved[3]);
    a.column = data<const std::int32_t>(pattern.column);
    a.scale = form.scale;
    a.clamp = form.clamp;
    a.epsilon = form.epsilon;
    a.out = data<S>(saved[4]);
    a.inverse = data<cuda::compute_t<S>>(saved[5]);
    return a;
  }
};

}  // namespace

namespace device {

at::Tensor sparse_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const AttentionPattern& pattern,
                            const SparseAttentionOptions& options) {
  if (const auto out = cuda::attention_by_tiles(q, k, v, pattern, options)) return *out;
  return SparseAttention::apply(
      q, k, v, detail::optional(options.pair_bias), detail::optional(options.type_bias),
      pattern_on(pattern, q),
      Softmax{options.scale, options.dropout, static_cast<Index>(options.key)});
}

std::pair<at::Tensor, at::Tensor> edge_attention(const at::Tensor& q, const at::Tensor& k,
                                                 const at::Tensor& v, const at::Tensor& edge,
                                                 const AttentionPattern& pattern,
                                                 const EdgeAttentionOptions& options) {
  const variable_list out = EdgeAttention::apply(
      q, k, v, detail::optional(edge), pattern_on(pattern, q),
      Clamped{options.scale, options.clamp, options.epsilon, options.edge_output});
  return {out[0], out.size() > 1 ? out[1] : at::Tensor()};
}

}  // namespace device
}  // namespace gtrain::ops

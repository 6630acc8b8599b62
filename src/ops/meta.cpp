#include "gtrain/ops/meta.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <string>
#include <utility>
#include <vector>

#include "ops/detail/device.h"
#include "ops/detail/dtype.h"

namespace gtrain::ops {

#ifdef GTRAIN_CUDA
bool has_meta() { return false; }
#else
bool has_meta() { return true; }

// What every op puts out where x is on the meta device; without CUDA no others come here.
namespace device {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// A call of an op: what takes a gradient, what comes out, and what stays until the backward beside
// the inputs.
struct Call {
  variable_list inputs, outputs, kept;
  bool keeps_inputs = false;
};

class Shaped : public torch::autograd::Function<Shaped> {
 public:
  static variable_list forward(AutogradContext* ctx, at::TensorList inputs, const Call& call) {
    variable_list saved = call.kept;
    std::size_t i = 0;
    for (const Tensor& t : inputs) {
      TORCH_CHECK(t.is_meta(), "an operand is on ", t.device(), "; expected meta as x");
      if (call.keeps_inputs) saved.push_back(t);
      ctx->saved_data["input " + std::to_string(i++)] = t.sizes();
    }
    ctx->save_for_backward(saved);
    ctx->set_materialize_grads(false);
    ctx->saved_data["inputs"] = static_cast<std::int64_t>(inputs.size());
    return call.outputs;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const std::int64_t inputs = ctx->saved_data["inputs"].toInt();
    const Tensor& given = grads.front().defined() ? grads.front() : grads.back();
    variable_list out;
    for (std::int64_t i = 0; i < inputs; ++i) {
      const auto sizes = ctx->saved_data["input " + std::to_string(i)].toIntVector();
      out.push_back(at::empty(sizes, given.options()));
    }
    out.emplace_back();
    return out;
  }
};

variable_list shaped(Call call) {
  std::erase_if(call.inputs, [](const Tensor& t) { return !t.defined(); });
  const variable_list inputs = std::move(call.inputs);
  return Shaped::apply(at::TensorList(inputs), call);
}

Tensor like(const Tensor& x) { return at::empty_like(x); }

// [rows, what x has besides rows].
Tensor rows_like(const Tensor& x, std::int64_t rows) {
  std::vector<std::int64_t> sizes = x.sizes().vec();
  sizes.front() = rows;
  return at::empty(sizes, x.options());
}

// In the type that reductions of x are kept in.
Tensor statistic(const Tensor& x, std::vector<std::int64_t> sizes) {
  const auto type = detail::compute_type(x.scalar_type());
  return at::empty(sizes, x.options().dtype(type));
}

// What norms keep beside their input: x + residual after dropout, where there is either.
variable_list norm_kept(const Tensor& x, bool plain, std::int64_t groups) {
  return {plain ? x : like(x), statistic(x, {groups}), statistic(x, {groups})};
}

Tensor attended(const Tensor& qkv) {
  return at::empty({qkv.size(0), qkv.size(1) / 3}, qkv.options());
}

}  // namespace

Tensor segment_sum(const Tensor& x, const Tensor& start) {
  return shaped({{x}, {rows_like(x, start.size(0) - 1)}, {}})[0];
}
Tensor segment_mean(const Tensor& x, const Tensor& start) { return device::segment_sum(x, start); }
Tensor segment_max(const Tensor& x, const Tensor& start) {
  const Tensor out = rows_like(x, start.size(0) - 1);
  const Tensor argmax = at::empty(out.sizes(), out.options().dtype(at::kLong));
  return shaped({{x}, {out}, {argmax}})[0];
}
Tensor segment_softmax(const Tensor& x, const Tensor&) {
  const Tensor out = like(x);
  return shaped({{x}, {out}, {out}})[0];
}
Tensor gather(const Tensor& x, const RowIndex& index) {
  return shaped({{x}, {rows_like(x, index.count())}, {}})[0];
}
Tensor scatter_add(const Tensor& x, const RowIndex& index) {
  return shaped({{x}, {rows_like(x, index.rows())}, {}})[0];
}
Tensor activate_rows(const Tensor& x, const Tensor& bias, const RowOptions& options,
                     const Tensor& residual) {
  const bool keeps = options.activation != RowActivation::kNone || bias.defined();
  return shaped({{x, bias, residual}, {like(x)}, {keeps ? x : Tensor()}})[0];
}
Tensor batch_norm(const Tensor& x, const Tensor& residual, const BatchNormState& state, bool,
                  double dropout, std::uint64_t) {
  const bool plain = !residual.defined() && dropout == 0;
  Call call{{x, residual, state.weight, state.bias}, {like(x)}, {}};
  call.kept = norm_kept(x, plain, x.size(1));
  return shaped(std::move(call))[0];
}
Tensor graph_norm(const Tensor& x, const Tensor& residual, const Tensor& weight, const Tensor& bias,
                  const Tensor&, const LayerNormOptions& options) {
  return device::layer_norm(x, residual, weight, bias, options);
}
Tensor layer_norm(const Tensor& x, const Tensor& residual, const Tensor& weight, const Tensor& bias,
                  const LayerNormOptions& options) {
  const bool plain = !residual.defined() && options.dropout == 0;
  Call call{{x, residual, weight, bias}, {like(x)}, {}};
  call.kept = norm_kept(x, plain, x.size(0));
  return shaped(std::move(call))[0];
}
Tensor top_m(const Tensor& score, const Tensor&, const Tensor&) {
  TORCH_CHECK(false, "[top_m] score is on ", score.device(),
              "; expected the CPU: which rows stay depends on numbers");
}
Tensor gine_aggregate(const Tensor& x, const Tensor& edge, const EdgeIndex&) {
  return shaped({{x, edge}, {like(x)}, {}, true})[0];
}
std::pair<Tensor, Tensor> gated_gcn(const Tensor& abde, const Tensor& c, const EdgeIndex&) {
  const std::int64_t n = abde.size(0), d = c.size(1);
  const Tensor h = at::empty({n, d}, abde.options());
  const variable_list kept{abde, like(c), statistic(abde, {n, d}), statistic(abde, {n, d})};
  const variable_list out = shaped({{abde, c}, {h, like(c)}, kept});
  return {out[0], out[1]};
}
Tensor weighted_aggregate(const Tensor& x, const Tensor& self, const Tensor& weight,
                          const EdgeIndex&) {
  return shaped({{x}, {like(x)}, {self, weight}})[0];
}
Tensor sparse_attention(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionPattern&,
                        const SparseAttentionOptions& options) {
  const Tensor out = at::empty(q.sizes(), q.options());
  return shaped({{q, k, v, options.pair_bias, options.type_bias},
                 {out},
                 {out, statistic(q, {q.size(0), q.size(1)})},
                 true})[0];
}
std::pair<Tensor, Tensor> edge_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                                         const Tensor& edge, const AttentionPattern&,
                                         const EdgeAttentionOptions& options) {
  const Tensor out = at::empty(q.sizes(), q.options());
  const bool second = edge.defined() && options.edge_output;
  Call call{{q, k, v, edge}, {out}, {out, statistic(q, {q.size(0), q.size(1)})}, true};
  if (second) call.outputs.push_back(like(edge));
  const variable_list made = shaped(std::move(call));
  return {made[0], second ? made[1] : Tensor()};
}
Tensor varlen_attention(const Tensor& qkv, const Tensor&, std::int64_t heads,
                        const VarlenOptions& options) {
  const Tensor out = attended(qkv);
  return shaped({{qkv, options.bias.table, options.bias.pair},
                 {out},
                 {out, statistic(qkv, {qkv.size(0), heads})},
                 true})[0];
}
Tensor linear_attention(const Tensor& qkv, const Tensor&, const Tensor& graph_start,
                        std::int64_t heads, const LinearAttentionOptions&) {
  const Tensor out = attended(qkv);
  return shaped({{qkv},
                 {out},
                 {out, statistic(qkv, {qkv.size(0), heads}),
                  statistic(qkv, {graph_start.size(0) - 1, heads})},
                 true})[0];
}

}  // namespace device
#endif

}  // namespace gtrain::ops

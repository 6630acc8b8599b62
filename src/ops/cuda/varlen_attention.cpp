// Full attention inside each graph, softmax or linear, on CUDA tensors.
#include "ops/cuda/varlen_attention.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

#include "ops/cuda/linear_attention.h"
#include "ops/cuda/tensor.h"
#include "ops/detail/device.h"
#include "ops/detail/first_derivative.h"
#include "ops/detail/optional.h"

namespace gtrain::ops {
namespace {

using cuda::data;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Index = std::int64_t;

// The batch's graphs on the device: the tiles of softmax attention and the pieces of linear
// attention, and the prefix sums of n².
struct Graphs {
  at::Tensor start, items, pair_offset;
  int tile_rows = 64, longest = 0;
  Index item_count = 0, pairs = 0;
  at::Tensor pieces, piece_start;
  int piece_rows = 64;
  Index piece_count = 0;
};

std::shared_ptr<Graphs> graphs_on(const at::Tensor& graph_start, const at::Tensor& x) {
  return cuda::kept<Graphs>(graph_start, x.device(), [&] {
    const at::Tensor host = cuda::index_on_host(graph_start);
    const Index graphs = host.size(0) - 1, *start = data<const Index>(host);
    auto made = std::make_shared<Graphs>();
    made->start = cuda::index_on(graph_start, x);
    std::vector<Index> offset{0};
    for (Index g = 0; g < graphs; ++g) {
      const Index n = start[g + 1] - start[g];
      made->longest = std::max(made->longest, static_cast<int>(n));
      offset.push_back(offset.back() + n * n);
    }
    made->pairs = offset.back();
    made->pair_offset = cuda::upload(offset, x);
    made->tile_rows = cuda::varlen_tile_rows(made->longest);
    const auto items = cuda::varlen_items(start, graphs, made->tile_rows);
    made->items = cuda::upload(items, x);
    made->item_count = static_cast<Index>(items.size());
    const cuda::LinearPlan plan = cuda::linear_plan(start, graphs);
    made->pieces = cuda::upload(plan.pieces, x);
    made->piece_start = cuda::upload(plan.piece_start, x);
    made->piece_rows = plan.piece_rows;
    made->piece_count = static_cast<Index>(plan.pieces.size());
    return made;
  });
}

// The hops on the device of qkv, where the kernels read them as words of four. Hops that are there
// already have not been looked at, and looking waits for the device: once a tensor.
at::Tensor hops_on(const at::Tensor& hops, const at::Tensor& table, const at::Tensor& qkv) {
  if (!hops.defined()) return hops;
  if (hops.is_cuda() && hops.numel() > 0) {
    const Index largest = *cuda::kept<Index>(
        hops, hops.device(), [&] { return std::make_shared<Index>(hops.max().item<Index>()); });
    TORCH_CHECK(largest < table.size(0), "[varlen_attention] bias.hops has the entry ", largest,
                "; expected entries below the ", table.size(0), " buckets of bias.table");
  }
  const at::Tensor there = cuda::index_on(hops, qkv);
  return reinterpret_cast<std::uintptr_t>(there.const_data_ptr()) % 4 == 0 ? there : there.clone();
}

struct Shape {
  Index heads;
  double p;
  Index key;
};

class VarlenAttention : public torch::autograd::Function<VarlenAttention> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& qkv_in,
                            const std::optional<at::Tensor>& table,
                            const std::optional<at::Tensor>& pair, const at::Tensor& graph_start,
                            const std::optional<at::Tensor>& hops, const Shape& shape) {
    const at::Tensor qkv = qkv_in.contiguous();
    const Index n = qkv.size(0), d = qkv.size(1) / 3;
    const at::Tensor lse = at::empty({n, shape.heads}, cuda::compute_options(qkv));
    const variable_list saved{qkv,
                              graph_start,
                              cuda::contiguous(table),
                              cuda::contiguous(pair),
                              cuda::contiguous(hops),
                              at::empty({n, d}, qkv.options()),
                              lse};
    const cuda::Launches launches(qkv);
    cuda::varlen_attention_forward(arguments(saved, shape), launches.stream());
    launches.check();
    ctx->save_for_backward(saved);
    ctx->saved_data["heads"] = shape.heads;
    ctx->saved_data["p"] = shape.p;
    ctx->saved_data["key"] = shape.key;
    ctx->saved_data["table_gradient"] = table && table->requires_grad();
    ctx->saved_data["pair_gradient"] = pair && pair->requires_grad();
    return saved[5];
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    detail::first_derivative_only("varlen_attention");
    const variable_list saved = ctx->get_saved_variables();
    const Shape shape{ctx->saved_data["heads"].toInt(), ctx->saved_data["p"].toDouble(),
                      ctx->saved_data["key"].toInt()};
    const at::Tensor &qkv = saved[0], dout = grads[0].contiguous();
    const at::Tensor none, dqkv = at::empty_like(qkv), delta = at::empty_like(saved[6]);
    const cuda::VarlenAttention a = arguments(saved, shape);
    cuda::VarlenAttentionGradient g;
    g.dout = data<const void>(dout);
    g.dout_stride = dout.stride(0);
    g.delta = data<void>(delta);
    g.dqkv = data<void>(dqkv);
    g.dqkv_stride = dqkv.stride(0);
    at::Tensor dtable, partial, dpair;
    if (ctx->saved_data["table_gradient"].toBool()) {
      dtable = at::zeros_like(saved[2]);
      partial = at::empty({a.item_count * dtable.numel()}, dtable.options());
      g.dtable = data<void>(dtable);
      g.table_partial = data<void>(partial);
    }
    if (ctx->saved_data["pair_gradient"].toBool()) {
      dpair = at::empty_like(saved[3]);
      g.dpair_bias = data<void>(dpair);
    }
    const cuda::Launches launches(qkv);
    cuda::varlen_attention_backward(a, g, launches.stream());
    launches.check();
    return {dqkv, dtable, dpair, none, none, none};
  }

 private:
  // saved: qkv, graph_start, table, pair, hops, out, lse
  static cuda::VarlenAttention arguments(const variable_list& saved, const Shape& shape) {
    const at::Tensor &qkv = saved[0], &table = saved[2];
    const auto graphs = graphs_on(saved[1], qkv);
    const Index d = qkv.size(1) / 3 / shape.heads;
    cuda::VarlenAttention a;
    a.storage = cuda::storage_of("varlen_attention", qkv.scalar_type());
    a.heads = static_cast<int>(shape.heads);
    a.width = static_cast<int>(d);
    a.qkv = data<const void>(qkv);
    a.qkv_stride = qkv.stride(0);
    a.scale = 1 / std::sqrt(static_cast<double>(d));
    a.graph_start = data<const Index>(graphs->start);
    a.items = data<const cuda::VarlenItem>(graphs->items);
    a.item_count = graphs->item_count;
    a.tile_rows = graphs->tile_rows;
    a.longest = graphs->longest;
    a.pair_offset = data<const Index>(graphs->pair_offset);
    a.pairs = graphs->pairs;
    a.hop = data<const std::uint8_t>(saved[4]);
    a.table = data<const void>(table);
    a.buckets = table.defined() ? static_cast<int>(table.size(0)) : 0;
    a.pair_bias = data<const void>(saved[3]);
    const cuda::Mask mask = cuda::mask_of(shape.p, shape.key);
    a.threshold = mask.threshold;
    a.keep_scale = mask.keep_scale;
    a.key = mask.key;
    a.out = data<void>(saved[5]);
    a.out_stride = saved[5].stride(0);
    a.lse = data<void>(saved[6]);
    return a;
  }
};

class LinearAttention : public torch::autograd::Function<LinearAttention> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& qkv_in,
                            const at::Tensor& projection, const at::Tensor& graph_start,
                            Index heads, double eps, Index padded_length) {
    const at::Tensor qkv = qkv_in.contiguous();
    const Index n = qkv.size(0), width = qkv.size(1) / 3, d = width / heads;
    const Index m = projection.size(0), graphs = graph_start.size(0) - 1;
    const auto wide = cuda::compute_options(qkv);
    const variable_list saved{qkv,
                              projection,
                              graph_start,
                              at::empty({n, width}, qkv.options()),
                              at::empty({graphs, heads, m + 1, d + 1}, wide),
                              at::empty({graphs, heads}, wide),
                              at::empty({n, heads}, wide),
                              at::empty({n, heads}, wide)};
    const cuda::Launches launches(qkv);
    at::Tensor partial;
    cuda::linear_attention_forward(arguments(saved, heads, eps, padded_length, partial),
                                   launches.stream());
    launches.check();
    ctx->save_for_backward(saved);
    ctx->saved_data["heads"] = heads;
    ctx->saved_data["eps"] = eps;
    ctx->saved_data["padded_length"] = padded_length;
    return saved[3];
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    detail::first_derivative_only("linear_attention");
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &qkv = saved[0], dout = grads[0].contiguous();
    const at::Tensor dqkv = at::empty_like(qkv), dsum = at::empty_like(saved[7]);
    const at::Tensor dstate = at::empty_like(saved[4]);
    cuda::LinearAttentionGradient g;
    g.dout = data<const void>(dout);
    g.dout_stride = dout.stride(0);
    g.dqkv = data<void>(dqkv);
    g.dqkv_stride = dqkv.stride(0);
    g.dsum = data<void>(dsum);
    g.dstate = data<void>(dstate);
    const cuda::Launches launches(qkv);
    at::Tensor partial;
    cuda::linear_attention_backward(
        arguments(saved, ctx->saved_data["heads"].toInt(), ctx->saved_data["eps"].toDouble(),
                  ctx->saved_data["padded_length"].toInt(), partial),
        g, launches.stream());
    launches.check();
    const at::Tensor none;
    return {dqkv, none, none, none, none, none};
  }

 private:
  // saved: qkv, projection, graph_start, out, state, key_largest, row_largest, row_sum
  static cuda::LinearAttention arguments(const variable_list& saved, Index heads, double eps,
                                         Index padded_length, at::Tensor& partial) {
    const at::Tensor &qkv = saved[0], &projection = saved[1];
    const auto graphs = graphs_on(saved[2], qkv);
    const Index m = projection.size(0), d = projection.size(1);
    partial =
        at::empty({graphs->piece_count * heads * (m * (d + 3) + d)}, cuda::compute_options(qkv));
    cuda::LinearAttention a;
    a.storage = cuda::storage_of("linear_attention", qkv.scalar_type());
    a.heads = static_cast<int>(heads);
    a.width = static_cast<int>(d);
    a.features = static_cast<int>(m);
    a.qkv = data<const void>(qkv);
    a.qkv_stride = qkv.stride(0);
    a.projection = data<const void>(projection);
    a.graph_start = data<const Index>(graphs->start);
    a.graphs = graphs->start.size(0) - 1;
    a.pieces = data<const cuda::VarlenItem>(graphs->pieces);
    a.piece_start = data<const Index>(graphs->piece_start);
    a.piece_count = graphs->piece_count;
    a.piece_rows = graphs->piece_rows;
    a.eps = eps;
    a.padded_length = padded_length;
    a.out = data<void>(saved[3]);
    a.out_stride = saved[3].stride(0);
    a.partial = data<void>(partial);
    a.state = data<void>(saved[4]);
    a.key_largest = data<void>(saved[5]);
    a.row_largest = data<void>(saved[6]);
    a.row_sum = data<void>(saved[7]);
    return a;
  }
};

}  // namespace

namespace device {

at::Tensor varlen_attention(const at::Tensor& qkv, const at::Tensor& graph_start,
                            std::int64_t heads, const VarlenOptions& options) {
  const Index d = qkv.size(1) / 3 / heads;
  TORCH_CHECK(cuda::varlen_attention_runs(cuda::storage_of("varlen_attention", qkv.scalar_type()),
                                          static_cast<int>(d)),
              "[varlen_attention] heads have ", d,
              " channels; expected at most 128, of double 64, on CUDA");
  // Differentiable: the kernels read the bias in the type they compute in.
  const auto wide = cuda::compute_options(qkv);
  const AttentionBias& b = options.bias;
  const at::Tensor table = b.table.defined() ? b.table.to(wide).contiguous() : at::Tensor();
  const at::Tensor pair = b.pair.defined() ? b.pair.t().to(wide).contiguous() : at::Tensor();
  return VarlenAttention::apply(qkv, detail::optional(table), detail::optional(pair), graph_start,
                                detail::optional(hops_on(b.hops, table, qkv)),
                                Shape{heads, options.dropout, static_cast<Index>(options.key)});
}

at::Tensor linear_attention(const at::Tensor& qkv, const at::Tensor& projection,
                            const at::Tensor& graph_start, std::int64_t heads,
                            const LinearAttentionOptions& options) {
  const Index d = qkv.size(1) / 3 / heads;
  TORCH_CHECK(cuda::linear_attention_runs(cuda::storage_of("linear_attention", qkv.scalar_type()),
                                          static_cast<int>(d)),
              "[linear_attention] heads have ", d,
              " channels; expected at most 128, of double 64, on CUDA");
  return LinearAttention::apply(qkv, cuda::as_parameter(projection, qkv), graph_start, heads,
                                options.eps, options.padded_length);
}

}  // namespace device
}  // namespace gtrain::ops

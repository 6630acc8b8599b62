#include "gtrain/ops/varlen_attention.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <vector>

#include "ops/detail/kernels.h"
#include "ops/detail/parallel.h"
#include "ops/detail/random.h"

namespace gtrain::ops {
namespace {

using detail::AttentionHead;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Some graphs and heads that one task works through.
struct Block {
  std::int64_t first_graph, last_graph, first_head, last_head;
};

// Cost-balanced, by sizes alone: small graphs share a task, a large one is a task per head.
std::vector<Block> plan(const std::int64_t* start, std::int64_t graphs, std::int64_t heads) {
  constexpr std::int64_t kPairs = 2048;
  std::vector<Block> blocks;
  std::int64_t first = 0, pairs = 0;
  for (std::int64_t g = 0; g < graphs; ++g) {
    const std::int64_t n = start[g + 1] - start[g];
    if (n * n >= 4 * kPairs) {
      if (first < g) blocks.push_back({first, g, 0, heads});
      for (std::int64_t h = 0; h < heads; ++h) blocks.push_back({g, g + 1, h, h + 1});
      first = g + 1;
      pairs = 0;
      continue;
    }
    pairs += n * n;
    if (pairs >= kPairs) {
      blocks.push_back({first, g + 1, 0, heads});
      first = g + 1;
      pairs = 0;
    }
  }
  if (first < graphs) blocks.push_back({first, graphs, 0, heads});
  return blocks;
}

struct Shape {
  std::int64_t heads;
  double p;
  std::uint64_t key;
};

template <class T>
void for_each_head(const at::Tensor& qkv, const at::Tensor& start_tensor, const Shape& shape,
                   T* out, T* lse, const T* dout, T* dqkv) {
  const std::int64_t d3 = qkv.size(1), d = d3 / 3, width = d / shape.heads;
  const std::int64_t* start = start_tensor.const_data_ptr<std::int64_t>();
  const T* base = qkv.const_data_ptr<T>();
  const auto blocks = plan(start, start_tensor.size(0) - 1, shape.heads);
  const auto& kernel = detail::kernels<T>();
  detail::parallel_tasks(static_cast<std::int64_t>(blocks.size()), false, [&](std::int64_t t) {
    const Block& block = blocks[static_cast<std::size_t>(t)];
    for (std::int64_t g = block.first_graph; g < block.last_graph; ++g) {
      if (start[g + 1] == start[g]) continue;
      for (std::int64_t h = block.first_head; h < block.last_head; ++h) {
        const std::int64_t row = start[g], column = h * width;
        AttentionHead<T> a;
        a.n = start[g + 1] - row;
        a.width = width;
        a.stride = d3;
        a.q = base + row * d3 + column;
        a.k = a.q + d;
        a.v = a.q + 2 * d;
        a.out = out + row * d + column;
        a.out_stride = d;
        a.lse = lse + row * shape.heads + h;
        a.lse_stride = shape.heads;
        a.scale = static_cast<T>(1 / std::sqrt(static_cast<double>(width)));
        a.threshold = detail::drop_threshold(shape.p);
        a.keep_scale = static_cast<T>(1 / (1 - shape.p));
        a.key = shape.key;
        a.first_row = row * shape.heads + h;
        a.row_step = shape.heads;
        if (dout == nullptr) {
          kernel.attention_forward(a);
          continue;
        }
        a.dout = dout + row * d + column;
        a.dq = dqkv + row * d3 + column;
        a.dk = a.dq + d;
        a.dv = a.dq + 2 * d;
        kernel.attention_backward(a);
      }
    }
  });
}

class VarlenAttention : public torch::autograd::Function<VarlenAttention> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& qkv_in, const at::Tensor& start,
                            std::int64_t heads, double p, std::int64_t key) {
    const at::Tensor qkv = qkv_in.contiguous();
    at::Tensor out = at::empty({qkv.size(0), qkv.size(1) / 3}, qkv.options());
    at::Tensor lse = at::empty({qkv.size(0), heads}, qkv.options());
    AT_DISPATCH_FLOATING_TYPES(qkv.scalar_type(), "varlen_attention", [&] {
      for_each_head<scalar_t>(qkv, start, {heads, p, static_cast<std::uint64_t>(key)},
                              out.mutable_data_ptr<scalar_t>(), lse.mutable_data_ptr<scalar_t>(),
                              nullptr, nullptr);
    });
    ctx->save_for_backward({qkv, start, out, lse});
    ctx->saved_data["heads"] = heads;
    ctx->saved_data["p"] = p;
    ctx->saved_data["key"] = key;
    return out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &qkv = saved[0], &start = saved[1], &out = saved[2], &lse = saved[3];
    const at::Tensor g = grads[0].contiguous();
    at::Tensor dqkv = at::empty_like(qkv);
    const Shape shape{ctx->saved_data["heads"].toInt(), ctx->saved_data["p"].toDouble(),
                      static_cast<std::uint64_t>(ctx->saved_data["key"].toInt())};
    AT_DISPATCH_FLOATING_TYPES(qkv.scalar_type(), "varlen_attention_backward", [&] {
      for_each_head<scalar_t>(qkv, start, shape, out.mutable_data_ptr<scalar_t>(),
                              lse.mutable_data_ptr<scalar_t>(), g.const_data_ptr<scalar_t>(),
                              dqkv.mutable_data_ptr<scalar_t>());
    });
    const at::Tensor none;
    return {dqkv, none, none, none, none};
  }
};

}  // namespace

at::Tensor varlen_attention(const at::Tensor& qkv, const at::Tensor& graph_start,
                            std::int64_t heads, double dropout, std::uint64_t key) {
  TORCH_CHECK(heads > 0 && qkv.dim() == 2 && qkv.size(1) % (3 * heads) == 0,
              "[varlen_attention] qkv has shape ", qkv.sizes(), "; expected [N, 3 D] with ", heads,
              " heads dividing D");
  TORCH_CHECK(graph_start.scalar_type() == at::kLong && graph_start.dim() == 1 &&
                  graph_start.size(0) >= 1 && graph_start.is_contiguous(),
              "[varlen_attention] graph_start has shape ", graph_start.sizes(), " and type ",
              graph_start.scalar_type(), "; expected contiguous int64 [G+1]");
  TORCH_CHECK(graph_start.const_data_ptr<std::int64_t>()[graph_start.size(0) - 1] == qkv.size(0),
              "[varlen_attention] graph_start ends at ",
              graph_start.const_data_ptr<std::int64_t>()[graph_start.size(0) - 1], "; expected ",
              qkv.size(0), " rows of qkv");
  TORCH_CHECK(dropout >= 0 && dropout < 1, "[varlen_attention] dropout is ", dropout,
              "; expected [0, 1)");
  return VarlenAttention::apply(qkv, graph_start, heads, dropout, static_cast<std::int64_t>(key));
}

}  // namespace gtrain::ops

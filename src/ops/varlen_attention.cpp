#include "gtrain/ops/varlen_attention.h"

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
#include "ops/detail/start_check.h"

namespace gtrain::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using OptionalTensor = std::optional<at::Tensor>;

// Some graphs and heads that one task works through.
struct Block {
  std::int64_t first_graph, last_graph, first_head, last_head;
};

// Cost-balanced, by sizes alone: small graphs share a task, a large one is a task per head. At most
// about 512 tasks of small graphs, each with a partial gradient of the bias table.
std::vector<Block> plan(const std::int64_t* start, std::int64_t graphs, std::int64_t heads) {
  std::int64_t total = 0;
  for (std::int64_t g = 0; g < graphs; ++g) {
    total += (start[g + 1] - start[g]) * (start[g + 1] - start[g]);
  }
  const std::int64_t share = std::max<std::int64_t>(2048, total / 512);
  std::vector<Block> blocks;
  std::int64_t first = 0, pairs = 0;
  for (std::int64_t g = 0; g < graphs; ++g) {
    const std::int64_t n = start[g + 1] - start[g];
    if (n * n >= 4 * share) {
      if (first < g) blocks.push_back({first, g, 0, heads});
      for (std::int64_t h = 0; h < heads; ++h) blocks.push_back({g, g + 1, h, h + 1});
      first = g + 1;
      pairs = 0;
      continue;
    }
    pairs += n * n;
    if (pairs >= share) {
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

// What the op runs on, in the type it computes in. `pair` and its gradient are [H, P].
struct Tensors {
  at::Tensor qkv, start, table, hops, pair, pair_start;
  at::Tensor out, lse;
  at::Tensor dout, dqkv, dtable, dpair;  // backward only
};

template <class T>
T* pointer(const at::Tensor& t) {
  return t.defined() ? t.mutable_data_ptr<T>() : nullptr;
}

// A graph's part of the tensors, without heads and bias.
template <class T>
detail::VarlenGraph<T> graph_of(const Tensors& t, const Shape& shape, std::int64_t row,
                                std::int64_t n) {
  const std::int64_t d = t.qkv.size(1) / 3;
  detail::VarlenGraph<T> a;
  a.n = n;
  a.width = d / shape.heads;
  a.heads = shape.heads;
  a.stride = 3 * d;
  a.q = t.qkv.const_data_ptr<T>() + row * a.stride;
  a.k = a.q + d;
  a.v = a.q + 2 * d;
  a.out = t.out.mutable_data_ptr<T>() + row * d;
  a.out_stride = d;
  a.lse = t.lse.mutable_data_ptr<T>() + row * shape.heads;
  a.threshold = detail::drop_threshold(shape.p);
  a.keep_scale = static_cast<T>(1 / (1 - shape.p));
  a.key = shape.key;
  a.first_row = row;
  if (t.dout.defined()) {
    a.dout = t.dout.const_data_ptr<T>() + row * d;
    a.dq = t.dqkv.mutable_data_ptr<T>() + row * a.stride;
    a.dk = a.dq + d;
    a.dv = a.dq + 2 * d;
  }
  return a;
}

// Forward, or backward where dout is defined.
template <class T>
void run(const Tensors& t, const Shape& shape) {
  const std::int64_t* start = t.start.const_data_ptr<std::int64_t>();
  const auto blocks = plan(start, t.start.size(0) - 1, shape.heads);
  const auto tasks = static_cast<std::int64_t>(blocks.size());
  detail::VarlenBias<T> bias;
  at::Tensor partial;  // [tasks, H, buckets]
  if (t.table.defined()) {
    bias.table = t.table.const_data_ptr<T>();
    bias.buckets = t.table.size(1);
    if (t.dtable.defined()) {
      partial = at::zeros({tasks, shape.heads, bias.buckets}, t.table.options());
    }
  }
  bias.pair_plane = t.pair.defined() ? t.pair.size(1) : 0;
  T *pair = pointer<T>(t.pair), *dpair = pointer<T>(t.dpair), *dtable = pointer<T>(partial);
  const std::uint8_t* hops = t.hops.defined() ? t.hops.const_data_ptr<std::uint8_t>() : nullptr;
  const std::int64_t* pair_start = pointer<std::int64_t>(t.pair_start);
  const auto& kernel = detail::kernels<T>().varlen;
  detail::parallel_tasks(tasks, false, [&](std::int64_t task) {
    const Block& block = blocks[static_cast<std::size_t>(task)];
    for (std::int64_t g = block.first_graph; g < block.last_graph; ++g) {
      if (start[g + 1] == start[g]) continue;
      auto a = graph_of<T>(t, shape, start[g], start[g + 1] - start[g]);
      a.first_head = block.first_head;
      a.last_head = block.last_head;
      a.bias = bias;
      if (hops != nullptr) a.bias.hops = hops + pair_start[g];
      if (pair != nullptr) a.bias.pair = pair + pair_start[g];
      if (dpair != nullptr) a.bias.dpair = dpair + pair_start[g];
      if (dtable != nullptr) a.bias.dtable = dtable + task * shape.heads * bias.buckets;
      (t.dout.defined() ? kernel.backward : kernel.forward)(a);
    }
  });
  T* sum = pointer<T>(t.dtable);
  const std::int64_t size = shape.heads * bias.buckets;
  for (std::int64_t task = 0; dtable != nullptr && task < tasks; ++task) {
    for (std::int64_t i = 0; i < size; ++i) sum[i] += dtable[task * size + i];
  }
}

void run(const Tensors& t, const Shape& shape) {
  if (t.qkv.scalar_type() == at::kDouble) {
    run<double>(t, shape);
  } else {
    run<float>(t, shape);
  }
}

at::Tensor unwrap(const OptionalTensor& t) { return t.value_or(at::Tensor()); }

// table: [H, buckets], pair: [H, P] with contiguous rows, both in the type the op computes in.
class VarlenAttention : public torch::autograd::Function<VarlenAttention> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& qkv,
                            const OptionalTensor& table, const OptionalTensor& pair,
                            const at::Tensor& start, const OptionalTensor& hops,
                            const OptionalTensor& pair_start, std::int64_t heads, double p,
                            std::int64_t key) {
    const at::ScalarType type = detail::compute_type(qkv.scalar_type());
    Tensors t;
    t.qkv = qkv.to(type).contiguous();
    t.start = start;
    t.table = unwrap(table);
    t.pair = unwrap(pair);
    t.hops = unwrap(hops);
    t.pair_start = unwrap(pair_start);
    t.out = at::empty({qkv.size(0), qkv.size(1) / 3}, t.qkv.options());
    t.lse = at::empty({qkv.size(0), heads}, t.qkv.options());
    run(t, {heads, p, static_cast<std::uint64_t>(key)});
    const at::Tensor out = t.out.to(qkv.scalar_type());
    ctx->save_for_backward({qkv.scalar_type() == type ? t.qkv : qkv, start, t.table, t.pair, t.hops,
                            t.pair_start, out, t.lse});
    ctx->saved_data["heads"] = heads;
    ctx->saved_data["p"] = p;
    ctx->saved_data["key"] = key;
    return out;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    detail::first_derivative_only("varlen_attention");
    const variable_list saved = ctx->get_saved_variables();
    const at::ScalarType storage = saved[0].scalar_type();
    const at::ScalarType type = detail::compute_type(storage);
    Tensors t;
    t.qkv = saved[0].to(type).contiguous();
    t.start = saved[1];
    t.table = saved[2];
    t.pair = saved[3];
    t.hops = saved[4];
    t.pair_start = saved[5];
    t.out = saved[6].to(type);
    t.lse = saved[7];
    t.dout = grads[0].to(type).contiguous();
    t.dqkv = at::empty_like(t.qkv);
    std::size_t input = 1;  // absent biases are not counted
    if (t.table.defined() && ctx->needs_input_grad(input++)) t.dtable = at::zeros_like(t.table);
    if (t.pair.defined() && ctx->needs_input_grad(input)) t.dpair = at::empty_like(t.pair);
    run(t, {ctx->saved_data["heads"].toInt(), ctx->saved_data["p"].toDouble(),
            static_cast<std::uint64_t>(ctx->saved_data["key"].toInt())});
    const at::Tensor none;
    return {t.dqkv.to(storage), t.dtable, t.dpair, none, none, none, none, none, none};
  }
};

void check_shapes(const at::Tensor& qkv, const at::Tensor& graph_start, std::int64_t heads,
                  double dropout) {
  TORCH_CHECK(heads > 0 && qkv.dim() == 2 && qkv.size(1) % (3 * heads) == 0,
              "[varlen_attention] qkv has shape ", qkv.sizes(), "; expected [N, 3 D] with ", heads,
              " heads dividing D");
  TORCH_CHECK(at::isFloatingType(qkv.scalar_type()), "[varlen_attention] qkv has type ",
              qkv.scalar_type(), "; expected float, double, bfloat16 or half");
  const std::int64_t* start = detail::check_start("varlen_attention", "graph_start", graph_start);
  const std::int64_t rows = start[graph_start.size(0) - 1];
  TORCH_CHECK(rows == qkv.size(0), "[varlen_attention] graph_start ends at ", rows, "; expected ",
              qkv.size(0), " rows of qkv");
  TORCH_CHECK(dropout >= 0 && dropout < 1, "[varlen_attention] dropout is ", dropout,
              "; expected [0, 1)");
}

void check_bias(const AttentionBias& b, std::int64_t graphs, std::int64_t pairs,
                std::int64_t heads) {
  detail::check_start("varlen_attention", "bias.pair_start", b.pair_start);
  TORCH_CHECK(b.pair_start.size(0) == graphs + 1, "[varlen_attention] bias.pair_start has shape ",
              b.pair_start.sizes(), "; expected [", graphs + 1, "]");
  TORCH_CHECK(b.hops.defined() == b.table.defined(),
              "[varlen_attention] bias.hops and bias.table are given together or not at all");
  if (b.hops.defined()) {
    TORCH_CHECK(b.table.dim() == 2 && b.table.size(1) == heads && b.table.size(0) >= 1 &&
                    b.table.size(0) <= 256,
                "[varlen_attention] bias.table has shape ", b.table.sizes(),
                "; expected [buckets, ", heads, "] with 1 to 256 buckets");
    TORCH_CHECK(b.hops.scalar_type() == at::kByte && b.hops.dim() == 1 && b.hops.size(0) == pairs,
                "[varlen_attention] bias.hops has shape ", b.hops.sizes(), " and type ",
                b.hops.scalar_type(), "; expected uint8 [", pairs, "]");
    // On a device the largest one is waited for once a tensor, there.
    TORCH_CHECK(
        b.hops.is_cuda() || pairs == 0 || b.hops.max().item<std::int64_t>() < b.table.size(0),
        "[varlen_attention] bias.hops has entries beyond the ", b.table.size(0),
        " buckets of bias.table");
  }
  if (b.pair.defined()) {
    TORCH_CHECK(b.pair.dim() == 2 && b.pair.size(0) == pairs && b.pair.size(1) == heads,
                "[varlen_attention] bias.pair has shape ", b.pair.sizes(), "; expected [", pairs,
                ", ", heads, "]");
  }
}

// Prefix sums of n².
at::Tensor pair_starts(const at::Tensor& graph_start) {
  at::Tensor result = at::zeros_like(graph_start);
  const std::int64_t* start = graph_start.const_data_ptr<std::int64_t>();
  std::int64_t* to = result.mutable_data_ptr<std::int64_t>();
  for (std::int64_t g = 0; g + 1 < graph_start.size(0); ++g) {
    const std::int64_t n = start[g + 1] - start[g];
    to[g + 1] = to[g] + n * n;
  }
  return result;
}

}  // namespace

at::Tensor varlen_attention(const at::Tensor& qkv, const at::Tensor& graph_start,
                            std::int64_t heads, const VarlenOptions& options) {
  check_shapes(qkv, graph_start, heads, options.dropout);
  AttentionBias b = options.bias;
  if (b.hops.defined() || b.table.defined() || b.pair.defined()) {
    const at::Tensor pair_start = pair_starts(graph_start);
    const std::int64_t graphs = graph_start.size(0) - 1;
    const std::int64_t pairs = pair_start.const_data_ptr<std::int64_t>()[graphs];
    if (!b.pair_start.defined()) b.pair_start = pair_start;
    check_bias(b, graphs, pairs, heads);
    TORCH_CHECK(b.pair_start.equal(pair_start),
                "[varlen_attention] bias.pair_start is not the prefix sums of n²");
  }
  const detail::OpCount count;
  if (count) {
    const int added = (b.table.defined() ? 1 : 0) + (b.pair.defined() ? 1 : 0);
    count.add(Work::kAttention, detail::attention_flops(detail::square_pairs(graph_start),
                                                        qkv.size(1) / 3, heads, added));
  }
  if (detail::on_device("varlen_attention", qkv)) {
    VarlenOptions given = options;
    given.bias = b;
    return device::varlen_attention(qkv, graph_start, heads, given);
  }
  if (b.pair_start.defined()) {
    const at::ScalarType type = detail::compute_type(qkv.scalar_type());
    if (b.table.defined()) b.table = b.table.t().to(type).contiguous();
    if (b.hops.defined()) b.hops = b.hops.contiguous();
    if (b.pair.defined()) b.pair = b.pair.t().to(type).contiguous();
  }
  return VarlenAttention::apply(qkv, detail::optional(b.table), detail::optional(b.pair),
                                graph_start, detail::optional(b.hops),
                                detail::optional(b.pair_start), heads, options.dropout,
                                static_cast<std::int64_t>(options.key));
}

at::Tensor varlen_attention(const at::Tensor& qkv, const at::Tensor& graph_start,
                            std::int64_t heads, double dropout, std::uint64_t key) {
  return varlen_attention(qkv, graph_start, heads, VarlenOptions{dropout, key, {}});
}

}  // namespace gtrain::ops

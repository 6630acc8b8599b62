// Softmax attention over the pairs of a pattern by dense tiles, on CUDA tensors.
#include "ops/cuda/block_attention.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "ops/cuda/block_pattern.h"
#include "ops/cuda/block_sparse_attention.h"
#include "ops/cuda/tensor.h"
#include "ops/detail/first_derivative.h"
#include "ops/detail/pattern_check.h"

namespace gtrain::ops::cuda {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Index = std::int64_t;

// A BlockPattern on the device, as bytes.
struct Tiles {
  at::Tensor window_start, column, mask, entry;

  Tiles() = default;
  Tiles(const BlockPattern& p, const at::Tensor& x)
      : window_start(upload(p.window_start, x)),
        column(upload(p.column, x)),
        mask(upload(p.mask, x)),
        entry(upload(p.entry, x)) {}
  Tiles(const variable_list& saved, std::size_t at)
      : window_start(saved[at]), column(saved[at + 1]), mask(saved[at + 2]), entry(saved[at + 3]) {}

  BlockTiles arguments(Index rows) const {
    BlockTiles t;
    t.rows = rows;
    t.windows = (rows + 15) / 16;
    t.window_start = data<const Index>(window_start);
    t.column = data<const std::int32_t>(column);
    t.mask = data<const std::uint32_t>(mask);
    t.entry = data<const Index>(entry);
    return t;
  }
};

struct Blocks {
  at::Tensor row_start;  // of the pattern
  bool useful = false;
  Tiles by_row, by_column;
};

std::optional<BlockPattern> tiles_of(const at::Tensor& start_in, const at::Tensor& column_in) {
  const at::Tensor start = index_on_host(start_in), column = index_on_host(column_in);
  return useful_block_pattern(data<const Index>(start), data<const std::int32_t>(column),
                              start.size(0) - 1);
}

std::shared_ptr<Blocks> make_blocks(const AttentionPattern& pattern, const at::Tensor& x) {
  auto made = std::make_shared<Blocks>();
  made->row_start = pattern.row_start;
  const auto by_row = tiles_of(pattern.row_start, pattern.column);
  if (!by_row) return made;
  const auto by_column = tiles_of(pattern.column_start, pattern.row);
  if (!by_column) return made;
  made->useful = true;
  made->by_row = Tiles(*by_row, x);
  made->by_column = Tiles(*by_column, x);
  return made;
}

std::shared_ptr<Blocks> blocks_on(const AttentionPattern& pattern, const at::Tensor& x) {
  const auto found =
      kept<Blocks>(pattern.column, x.device(), [&] { return make_blocks(pattern, x); });
  // The same columns under other starts are another pattern.
  return found->row_start.is_same(pattern.row_start) ? found : make_blocks(pattern, x);
}

struct Softmax {
  double scale = 1, p = 0;
  Index key = 0;
};

at::Tensor packed_like(const at::Tensor& t) { return at::empty(t.sizes(), t.options()); }

class BlockAttention : public torch::autograd::Function<BlockAttention> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& q, const at::Tensor& k,
                            const at::Tensor& v, const Blocks& blocks, const at::Tensor& pair,
                            const Softmax& softmax) {
    const variable_list saved{ops::detail::rows_of_heads(q),
                              ops::detail::rows_of_heads(k),
                              ops::detail::rows_of_heads(v),
                              packed_like(q),
                              at::empty({q.size(0), q.size(1)}, compute_options(q)),
                              blocks.by_row.window_start,
                              blocks.by_row.column,
                              blocks.by_row.mask,
                              blocks.by_row.entry,
                              blocks.by_column.window_start,
                              blocks.by_column.column,
                              blocks.by_column.mask,
                              blocks.by_column.entry,
                              pair};
    const Launches launches(q);
    block_sparse_attention_forward(arguments(saved, softmax), launches.stream());
    launches.check();
    ctx->save_for_backward(saved);
    ctx->saved_data["scale"] = softmax.scale;
    ctx->saved_data["p"] = softmax.p;
    ctx->saved_data["key"] = softmax.key;
    return saved[3];
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    ops::detail::first_derivative_only("sparse_attention");
    const variable_list saved = ctx->get_saved_variables();
    const Softmax softmax{ctx->saved_data["scale"].toDouble(), ctx->saved_data["p"].toDouble(),
                          ctx->saved_data["key"].toInt()};
    const at::Tensor &q = saved[0], dout = grads[0].contiguous();
    const at::Tensor dq = packed_like(q), dk = packed_like(saved[1]), dv = packed_like(saved[2]);
    const at::Tensor none, delta = at::empty_like(saved[4]);
    const Index row = q.size(1) * q.size(2);
    BlockSparseAttentionGradient g;
    g.dout = data<const void>(dout);
    g.dq = data<void>(dq);
    g.dk = data<void>(dk);
    g.dv = data<void>(dv);
    g.dout_stride = g.dq_stride = g.dk_stride = g.dv_stride = row;
    g.delta = data<void>(delta);
    g.by_column = Tiles(saved, 9).arguments(dk.size(0));
    g.by_column.pair = data<const Index>(saved[13]);
    const Launches launches(q);
    block_sparse_attention_backward(arguments(saved, softmax), g, launches.stream());
    launches.check();
    return {dq, dk, dv, none, none, none};
  }

 private:
  // saved: q, k, v, out, lse, tiles by row, tiles by column, pair
  static BlockSparseAttention arguments(const variable_list& saved, const Softmax& softmax) {
    const at::Tensor &q = saved[0], &k = saved[1], &v = saved[2];
    BlockSparseAttention a;
    a.storage = storage_of("sparse_attention", q.scalar_type());
    a.heads = static_cast<int>(q.size(1));
    a.width = static_cast<int>(q.size(2));
    a.q = data<const void>(q);
    a.k = data<const void>(k);
    a.v = data<const void>(v);
    a.q_stride = q.stride(0);
    a.k_stride = k.stride(0);
    a.v_stride = v.stride(0);
    a.scale = softmax.scale;
    const Mask mask = mask_of(softmax.p, softmax.key);
    a.threshold = mask.threshold;
    a.keep_scale = mask.keep_scale;
    a.key = mask.key;
    a.by_row = Tiles(saved, 5).arguments(q.size(0));
    a.out = data<void>(saved[3]);
    a.out_stride = q.size(1) * q.size(2);
    a.lse = data<void>(saved[4]);
    return a;
  }
};

}  // namespace

std::optional<at::Tensor> attention_by_tiles(const at::Tensor& q, const at::Tensor& k,
                                             const at::Tensor& v, const AttentionPattern& pattern,
                                             const SparseAttentionOptions& options) {
  if (options.pair_bias.defined() || options.type_bias.defined()) return std::nullopt;
  const Storage storage = storage_of("sparse_attention", q.scalar_type());
  if (!block_sparse_attention_runs(storage, static_cast<int>(q.size(2)))) return std::nullopt;
  const auto blocks = blocks_on(pattern, q);
  if (!blocks->useful) return std::nullopt;
  return BlockAttention::apply(
      q, k, v, *blocks, index_on(pattern.pair, q),
      Softmax{options.scale, options.dropout, static_cast<Index>(options.key)});
}

}  // namespace gtrain::ops::cuda

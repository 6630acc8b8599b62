#include "ops/detail/device.h"

namespace gtrain::ops {

bool detail::on_device(const char* op, const at::Tensor& x, at::TensorList operands) {
#ifdef GTRAIN_CUDA
  TORCH_CHECK(x.is_cpu() || x.is_cuda(), "[", op, "] x is on ", x.device(),
              "; expected the CPU or a CUDA device");
#else
  TORCH_CHECK(x.is_cpu(), "[", op, "] x is on ", x.device(),
              "; expected the CPU: this gtrain is built without CUDA kernels (GTRAIN_CUDA)");
#endif
  for (const at::Tensor& t : operands) {
    TORCH_CHECK(!t.defined() || t.device() == x.device(), "[", op, "] an operand is on ",
                t.device(), "; expected ", x.device(), " as x");
  }
  return x.is_cuda();
}

#ifndef GTRAIN_CUDA
namespace device {
namespace {

// on_device lets nobody come here.
[[noreturn]] void refuse() { TORCH_CHECK(false, "gtrain is built without CUDA kernels"); }

}  // namespace

using at::Tensor;

Tensor segment_sum(const Tensor&, const Tensor&) { refuse(); }
Tensor segment_mean(const Tensor&, const Tensor&) { refuse(); }
Tensor segment_max(const Tensor&, const Tensor&) { refuse(); }
Tensor segment_softmax(const Tensor&, const Tensor&) { refuse(); }
Tensor gather(const Tensor&, const RowIndex&) { refuse(); }
Tensor scatter_add(const Tensor&, const RowIndex&) { refuse(); }
Tensor activate_rows(const Tensor&, const Tensor&, const RowOptions&, const Tensor&) { refuse(); }
Tensor batch_norm(const Tensor&, const Tensor&, const BatchNormState&, bool, double,
                  std::uint64_t) {
  refuse();
}
Tensor layer_norm(const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                  const LayerNormOptions&) {
  refuse();
}
Tensor graph_norm(const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                  const LayerNormOptions&) {
  refuse();
}
Tensor top_m(const Tensor&, const Tensor&, const Tensor&) { refuse(); }
Tensor gine_aggregate(const Tensor&, const Tensor&, const EdgeIndex&) { refuse(); }
std::pair<Tensor, Tensor> gated_gcn(const Tensor&, const Tensor&, const EdgeIndex&) { refuse(); }
Tensor weighted_aggregate(const Tensor&, const Tensor&, const Tensor&, const EdgeIndex&) {
  refuse();
}
Tensor sparse_attention(const Tensor&, const Tensor&, const Tensor&, const AttentionPattern&,
                        const SparseAttentionOptions&) {
  refuse();
}
std::pair<Tensor, Tensor> edge_attention(const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                         const AttentionPattern&, const EdgeAttentionOptions&) {
  refuse();
}
Tensor varlen_attention(const Tensor&, const Tensor&, std::int64_t, const VarlenOptions&) {
  refuse();
}
Tensor linear_attention(const Tensor&, const Tensor&, const Tensor&, std::int64_t,
                        const LinearAttentionOptions&) {
  refuse();
}

}  // namespace device
#endif

}  // namespace gtrain::ops

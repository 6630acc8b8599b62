#include "ops/detail/device.h"

#include "gtrain/ops/meta.h"

namespace gtrain::ops {

bool detail::on_device(const char* op, const at::Tensor& x, at::TensorList operands) {
#ifdef GTRAIN_CUDA
  TORCH_CHECK(x.is_cpu() || x.is_cuda(), "[", op, "] x is on ", x.device(),
              "; expected the CPU or a CUDA device");
#else
  TORCH_CHECK(x.is_cpu() || x.is_meta(), "[", op, "] x is on ", x.device(),
              "; expected the CPU: this gtrain is built without CUDA kernels (GTRAIN_CUDA)");
#endif
  for (const at::Tensor& t : operands) {
    TORCH_CHECK(!t.defined() || t.device() == x.device(), "[", op, "] an operand is on ",
                t.device(), "; expected ", x.device(), " as x");
  }
  return !x.is_cpu();
}

}  // namespace gtrain::ops

// From a tensor's element type to the storage type of the kernels, and typed pointers into tensors.
#pragma once

#include <ATen/core/Tensor.h>

#include "ops/detail/storage.h"

namespace gtrain::ops::detail {

template <class S>
struct Storage {
  using Type = S;
};

// body(Storage<S>{}) for float, double, Bf16 or Half; throws for any other type.
template <class Body>
void with_storage(const char* op, at::ScalarType type, const Body& body) {
  switch (type) {
    case at::kFloat:
      return body(Storage<float>{});
    case at::kDouble:
      return body(Storage<double>{});
    case at::kBFloat16:
      return body(Storage<Bf16>{});
    case at::kHalf:
      return body(Storage<Half>{});
    default:
      TORCH_CHECK(false, "[", op, "] element type is ", type,
                  "; expected float, double, bfloat16 or half");
  }
}

template <class S>
const S* data(const at::Tensor& t) {
  return static_cast<const S*>(t.const_data_ptr());
}
template <class S>
S* mutable_data(const at::Tensor& t) {
  return static_cast<S*>(t.mutable_data_ptr());
}

// What the kernels of a storage type compute in.
inline at::ScalarType compute_type(at::ScalarType storage) {
  return storage == at::kDouble ? at::kDouble : at::kFloat;
}

}  // namespace gtrain::ops::detail

// Between torch and the launchers: element types, pointers, the stream, and copies of index tensors
// on the device. Only the glue in this folder (*.cpp, built with GTRAIN_CUDA) includes it.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <typeindex>
#include <vector>

#include "ops/cuda/element.h"
#include "ops/cuda/row.h"
#include "ops/cuda/storage.h"
#include "ops/detail/random.h"

namespace gtrain::ops::cuda {

template <class S>
struct Element {
  using Type = S;
};

// body(Element<S>{}) for the storage type of the kernels.
template <class Body>
auto with_element(const char* op, at::ScalarType type, const Body& body) {
  switch (type) {
    case at::kFloat:
      return body(Element<float>{});
    case at::kDouble:
      return body(Element<double>{});
    case at::kBFloat16:
      return body(Element<bf16>{});
    case at::kHalf:
      return body(Element<f16>{});
    default:
      TORCH_CHECK(false, "[", op, "] element type is ", type,
                  "; expected float, double, bfloat16 or half");
  }
}

// The same for launchers that take untyped pointers.
inline Storage storage_of(const char* op, at::ScalarType type) {
  return with_element(op, type, []<class S>(Element<S>) {
    if constexpr (std::is_same_v<S, float>) {
      return Storage::kFloat;
    } else if constexpr (std::is_same_v<S, double>) {
      return Storage::kDouble;
    } else if constexpr (std::is_same_v<S, bf16>) {
      return Storage::kBFloat16;
    } else {
      return Storage::kHalf;
    }
  });
}

// The address of t, or null where t is undefined.
template <class S>
S* data(const at::Tensor& t) {
  return t.defined() ? static_cast<S*>(const_cast<void*>(t.const_data_ptr())) : nullptr;
}

inline at::ScalarType compute_type(at::ScalarType storage) {
  return storage == at::kDouble ? at::kDouble : at::kFloat;
}
inline at::TensorOptions compute_options(const at::Tensor& x) {
  return x.options().dtype(compute_type(x.scalar_type()));
}
// A parameter in the type the kernels compute in, on the device of x.
inline at::Tensor as_parameter(const at::Tensor& t, const at::Tensor& x) {
  return t.defined() ? t.detach().to(compute_options(x)).contiguous() : t;
}
inline at::Tensor contiguous(const std::optional<at::Tensor>& t) {
  return t && t->defined() ? t->contiguous() : at::Tensor();
}
inline at::Tensor workspace(std::size_t bytes, const at::Tensor& x) {
  return at::empty({static_cast<std::int64_t>(bytes)}, x.options().dtype(at::kByte));
}

inline Mask mask_of(double p, std::int64_t key) {
  return {ops::detail::drop_threshold(p), 1 / (1 - p), static_cast<std::uint64_t>(key)};
}

// Makes x's device and torch's current stream on it those of the launches in this scope.
class Launches {
 public:
  explicit Launches(const at::Tensor& x) : guard_(x.device()) {}
  Stream stream() const { return c10::cuda::getCurrentCUDAStream().stream(); }
  // Throws what a launch since has reported.
  void check() const { C10_CUDA_KERNEL_LAUNCH_CHECK(); }

 private:
  c10::cuda::CUDAGuard guard_;
};

// What was made of `key` on `device` for its current stream, made again when key has changed; kept
// until key is gone and the entry is needed for another one.
std::shared_ptr<void> kept(const at::Tensor& key, at::Device device, std::type_index kind,
                           const std::function<std::shared_ptr<void>()>& make);
template <class T>
std::shared_ptr<T> kept(const at::Tensor& key, at::Device device,
                        const std::function<std::shared_ptr<T>()>& make) {
  return std::static_pointer_cast<T>(kept(key, device, typeid(T), make));
}

// t itself where it is on the device of x, else its kept copy.
at::Tensor index_on(const at::Tensor& t, const at::Tensor& x);
// t itself where it is on the CPU, else a kept copy: for plans made on the host.
at::Tensor index_on_host(const at::Tensor& t);

// A copy of plain structs on the device, as bytes.
template <class T>
at::Tensor upload(const std::vector<T>& items, const at::Tensor& x) {
  at::Tensor host = at::empty({static_cast<std::int64_t>(items.size() * sizeof(T))},
                              at::TensorOptions().dtype(at::kByte));
  if (!items.empty()) std::memcpy(host.mutable_data_ptr(), items.data(), items.size() * sizeof(T));
  return host.to(x.device());
}

}  // namespace gtrain::ops::cuda

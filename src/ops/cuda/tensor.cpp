#include "ops/cuda/tensor.h"

#include <deque>
#include <mutex>

namespace gtrain::ops::cuda {
namespace {

constexpr std::size_t kEntries = 256;

struct Entry {
  c10::weak_intrusive_ptr<c10::TensorImpl> key;
  std::uint32_t version;
  at::Device device;
  void* stream;
  std::type_index kind;
  std::shared_ptr<void> value;
};

// Of a CUDA device, torch's current one.
void* stream_on(at::Device device) {
  return device.is_cuda() ? c10::cuda::getCurrentCUDAStream(device.index()).stream() : nullptr;
}

std::uint32_t version_of(const at::Tensor& t) {
  return t.is_inference() ? 0 : static_cast<std::uint32_t>(t._version());
}

}  // namespace

std::shared_ptr<void> kept(const at::Tensor& key, at::Device device, std::type_index kind,
                           const std::function<std::shared_ptr<void>()>& make) {
  static std::recursive_mutex mutex;             // make may ask for another entry
  static auto* entries = new std::deque<Entry>;  // outlives the CUDA context's own statics
  const std::lock_guard<std::recursive_mutex> lock(mutex);
  void* const stream = stream_on(device);
  for (auto e = entries->begin(); e != entries->end();) {
    const auto alive = e->key.lock();
    if (!alive) {
      e = entries->erase(e);
      continue;
    }
    if (alive.get() == key.unsafeGetTensorImpl() && e->device == device && e->stream == stream &&
        e->kind == kind) {
      if (e->version == version_of(key)) return e->value;
      e = entries->erase(e);
      continue;
    }
    ++e;
  }
  std::shared_ptr<void> value = make();
  entries->push_back({c10::weak_intrusive_ptr<c10::TensorImpl>(key.getIntrusivePtr()),
                      version_of(key), device, stream, kind, value});
  if (entries->size() > kEntries) entries->pop_front();
  return value;
}

at::Tensor index_on(const at::Tensor& t, const at::Tensor& x) {
  if (!t.defined() || t.device() == x.device()) return t.defined() ? t.contiguous() : t;
  return *kept<at::Tensor>(
      t, x.device(), [&] { return std::make_shared<at::Tensor>(t.contiguous().to(x.device())); });
}

at::Tensor index_on_host(const at::Tensor& t) {
  if (t.is_cpu()) return t.contiguous();
  return *kept<at::Tensor>(t, at::kCPU, [&] { return std::make_shared<at::Tensor>(t.cpu()); });
}

}  // namespace gtrain::ops::cuda

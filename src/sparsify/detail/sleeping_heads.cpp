#include "sleeping_heads.h"

#include <ATen/ATen.h>

namespace gtrain::sparsify::detail {

SleepingHeads::SleepingHeads(const Site& site) {
  const std::string prefix = site.path.empty() ? "" : site.path + ".";
  for (const nn::Gated::HeadSlices& s : site.gated->head_slices()) {
    slices_.push_back({prefix + s.name, s.value, s.dim, s.stacks});
  }
}

at::Tensor SleepingHeads::factor(const Slice& slice, const at::Tensor& alive) {
  const std::int64_t size = slice.value.size(slice.dim);
  const std::int64_t channels = size / (slice.stacks * alive.size(0));
  at::Tensor one = alive.to(slice.value.scalar_type()).view({-1, 1}).expand({-1, channels});
  one = one.reshape({-1}).repeat({slice.stacks});
  if (slice.value.dim() == 1) return one;
  return slice.dim == 0 ? one.view({-1, 1}) : one.view({1, -1});
}

void SleepingHeads::before_update(const at::Tensor& alive) {
  kept_.clear();
  alive_ = at::Tensor();
  if (alive.min().item<double>() != 0) return;
  alive_ = alive.clone();
  for (const Slice& slice : slices_) kept_.push_back(slice.value.detach().clone());
}

void SleepingHeads::after_update(const Slots& slots) {
  if (!alive_.defined()) return;
  const at::NoGradGuard guard;
  for (std::size_t i = 0; i < slices_.size(); ++i) {
    Slice& slice = slices_[i];
    slice.value.copy_(at::where(factor(slice, alive_) != 0, slice.value, kept_[i]));
  }
  kept_.clear();
  clear(alive_, slots);
}

void SleepingHeads::clear(const at::Tensor& alive, const Slots& slots) const {
  if (alive.min().item<double>() != 0) return;
  const at::NoGradGuard guard;
  for (const Slice& slice : slices_) {
    const at::Tensor lives = factor(slice, alive);
    for (at::Tensor& slot : slots(slice.name)) slot.mul_(lives);
  }
}

}  // namespace gtrain::sparsify::detail

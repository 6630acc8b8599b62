// The half of a product's derivative that is its weight's: dW = dy^T x and db = the column sums of
// dy, over contiguous x [N, K] and dy [N, O]. Blocks of output channels, each summed over all rows
// by one task, so that no sum depends on the thread count.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cstdint>

#include "ops/detail/gemm.h"
#include "ops/detail/kernels.h"

namespace gtrain::ops::detail {

// Of y = x W^T + b; undefined where nobody asks.
struct LinearGradients {
  at::Tensor x, weight, bias;
};

// Room for those of inputs 0, 1 and 2 of a function that has x and W saved, and in "bias" whether
// there is one.
inline LinearGradients wanted_gradients(torch::autograd::AutogradContext* ctx, const at::Tensor& x,
                                        const at::Tensor& w) {
  LinearGradients out;
  if (ctx->needs_input_grad(0)) out.x = at::empty_like(x);
  if (ctx->needs_input_grad(1)) out.weight = at::empty_like(w);
  if (ctx->saved_data["bias"].toBool() && ctx->needs_input_grad(2)) {
    out.bias = at::empty({w.size(0)}, w.options());
  }
  return out;
}

// Too few multiplications to share among threads.
inline bool few_products(const at::Tensor& x, const at::Tensor& w) {
  return x.size(0) * w.numel() < 131072;
}

template <class T>
class WeightGradient {
 public:
  // dw [O, K] and db [O], or undefined: left out. mask uint8 [O, K]: dW is 0 where it is;
  // undefined: nowhere.
  WeightGradient(const at::Tensor& x, const at::Tensor& dy, at::Tensor& dw, at::Tensor& db,
                 const at::Tensor& mask = {})
      : n_(x.size(0)), k_(x.size(1)), o_(dy.size(1)) {
    x_ = x.const_data_ptr<T>();
    dy_ = dy.const_data_ptr<T>();
    if (dw.defined()) dw_ = dw.mutable_data_ptr<T>();
    if (db.defined()) db_ = db.mutable_data_ptr<T>();
    if (mask.defined()) mask_ = mask.const_data_ptr<std::uint8_t>();
    blocks_ = dw_ != nullptr ? (o_ + kBlock - 1) / kBlock : 0;
  }

  std::int64_t tasks() const { return blocks_ + (db_ != nullptr ? 1 : 0); }

  void run(std::int64_t task) const {
    if (task == blocks_) return kernels<T>().row.column_sum(0, n_, o_, dy_, db_);
    const std::int64_t first = task * kBlock, last = std::min(o_, first + kBlock);
    product_tn<T>(n_, o_, k_, first, last, dy_, x_, dw_);
    if (mask_ == nullptr) return;
    for (std::int64_t i = first * k_; i < last * k_; ++i) {
      if (mask_[i] == 0) dw_[i] = 0;
    }
  }

 private:
  static constexpr std::int64_t kBlock = 32;  // output channels of a task

  std::int64_t n_, k_, o_, blocks_ = 0;
  const T *x_ = nullptr, *dy_ = nullptr;
  T *dw_ = nullptr, *db_ = nullptr;
  const std::uint8_t* mask_ = nullptr;
};

}  // namespace gtrain::ops::detail

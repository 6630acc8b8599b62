// What the front doors of attention over a pattern check about q, k and v.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "gtrain/ops/attention_pattern.h"

namespace gtrain::ops::detail {

// q, k, v as [rows, H, d].
struct HeadRows {
  at::Tensor q, k, v;
};
inline at::Tensor split_heads(const at::Tensor& t, std::int64_t heads) {
  return t.dim() == 3 ? t : t.unflatten(1, {heads, t.size(1) / heads});
}

inline HeadRows check_heads(const char* op, const at::Tensor& q, const at::Tensor& k,
                            const at::Tensor& v, const AttentionPattern& pattern,
                            std::int64_t heads) {
  if (q.dim() == 3) {
    TORCH_CHECK((heads == 0 || heads == q.size(1)) && q.size(1) > 0 && q.size(2) > 0, "[", op,
                "] q has shape ", q.sizes(),
                "; expected [N, H, d] with H = ", heads == 0 ? q.size(1) : heads, " and d > 0");
  } else {
    TORCH_CHECK(q.dim() == 2 && heads > 0 && q.size(1) > 0 && q.size(1) % heads == 0, "[", op,
                "] q has shape ", q.sizes(),
                "; expected [N, H, d], or [N, D] with options.heads = ", heads, " dividing D");
  }
  TORCH_CHECK(q.size(0) == pattern.rows(), "[", op, "] q has shape ", q.sizes(), "; expected ",
              pattern.rows(), " rows as the pattern");
  const auto check = [&](const char* name, const at::Tensor& t) {
    TORCH_CHECK(t.dim() == q.dim() && t.size(0) == pattern.columns() &&
                    t.sizes().slice(1) == q.sizes().slice(1),
                "[", op, "] ", name, " has shape ", t.sizes(), "; expected ", pattern.columns(),
                " rows as the pattern's columns, of ", q.sizes().slice(1), " as q");
    TORCH_CHECK(t.scalar_type() == q.scalar_type(), "[", op, "] ", name, " is ", t.scalar_type(),
                "; expected ", q.scalar_type(), " as q");
  };
  check("k", k);
  check("v", v);
  return {split_heads(q, heads), split_heads(k, heads), split_heads(v, heads)};
}

// [rows, H, d] with any row stride, but heads and channels without gaps.
inline at::Tensor rows_of_heads(const at::Tensor& t) {
  const bool packed =
      (t.size(2) == 1 || t.stride(2) == 1) && (t.size(1) == 1 || t.stride(1) == t.size(2));
  return packed ? t : t.contiguous();
}

}  // namespace gtrain::ops::detail

// What the front doors check about starts of segments before they read them.
#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdint>

namespace gtrain::ops::detail {

// Throws unless start is int64 [count+1] without gaps, ascending from 0, on the CPU whatever device
// the rows are on; returns its numbers. count: the letter of the segments' number.
inline const std::int64_t* check_start(const char* op, const char* name, const at::Tensor& start,
                                       const char* count = "G") {
  TORCH_CHECK(start.is_cpu() && start.scalar_type() == at::kLong && start.dim() == 1 &&
                  start.size(0) >= 1 && start.is_contiguous(),
              "[", op, "] ", name, " has shape ", start.sizes(), " and type ", start.scalar_type(),
              " on ", start.device(), "; expected contiguous int64 [", count, "+1] on cpu");
  const auto* s = start.const_data_ptr<std::int64_t>();
  TORCH_CHECK(s[0] == 0 && std::is_sorted(s, s + start.size(0)), "[", op, "] ", name,
              " does not ascend from 0");
  return s;
}

}  // namespace gtrain::ops::detail

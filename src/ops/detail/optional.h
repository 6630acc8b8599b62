// An undefined tensor as an absent argument: torch's custom functions take only the latter.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace gtrain::ops::detail {

inline std::optional<at::Tensor> optional(const at::Tensor& t) {
  return t.defined() ? std::optional<at::Tensor>(t) : std::nullopt;
}

}  // namespace gtrain::ops::detail

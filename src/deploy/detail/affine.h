// What the folding passes share: constants of a frozen graph, and batch norm as the affine map that
// it is in evaluation.
#pragma once

#include <ATen/ATen.h>
#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/ir/ir.h>

#include <functional>
#include <optional>
#include <vector>

namespace gtrain::deploy::detail {

inline void each_node(torch::jit::Block* block, const std::function<void(torch::jit::Node*)>& use) {
  for (torch::jit::Node* node : block->nodes()) {
    for (torch::jit::Block* inner : node->blocks()) each_node(inner, use);
    use(node);
  }
}

inline bool is(const torch::jit::Node* node, const char* kind) {
  return node->kind() == c10::Symbol::fromQualString(kind);
}

inline std::optional<at::Tensor> constant_tensor(torch::jit::Value* value) {
  const auto constant = torch::jit::toIValue(value);
  if (!constant || !constant->isTensor() || !constant->toTensor().defined()) return std::nullopt;
  return constant->toTensor();
}

// x * scale + shift, float64.
struct Affine {
  at::Tensor scale, shift;
};

// Of weight, bias, mean and variance.
inline std::optional<Affine> affine_of(const std::vector<torch::jit::Value*>& norm, double eps) {
  std::vector<at::Tensor> parts;
  for (torch::jit::Value* value : norm) {
    const auto part = constant_tensor(value);
    if (!part) return std::nullopt;
    parts.push_back(part->to(at::kDouble));
  }
  const at::Tensor scale = parts[0] / at::sqrt(parts[3] + eps);
  return Affine{scale, parts[1] - parts[2] * scale};
}

}  // namespace gtrain::deploy::detail

#include "gtrain/deploy/freeze.h"

#include <ATen/ATen.h>
#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/ir/ir.h>
#include <torch/csrc/jit/passes/constant_pooling.h>
#include <torch/csrc/jit/passes/constant_propagation.h>
#include <torch/csrc/jit/passes/dead_code_elimination.h>
#include <torch/csrc/jit/passes/freeze_module.h>
#include <torch/csrc/jit/passes/frozen_linear_folding.h>
#include <torch/csrc/jit/passes/inliner.h>

#include <functional>
#include <optional>
#include <vector>

namespace gtrain::deploy {
namespace {

using torch::jit::Block;
using torch::jit::Graph;
using torch::jit::Module;
using torch::jit::Node;
using torch::jit::Value;

void each_node(Block* block, const std::function<void(Node*)>& use) {
  for (Node* node : block->nodes()) {
    for (Block* inner : node->blocks()) each_node(inner, use);
    use(node);
  }
}

bool is(const Node* node, const char* kind) {
  return node->kind() == c10::Symbol::fromQualString(kind);
}

std::optional<at::Tensor> constant_tensor(Value* value) {
  const auto constant = torch::jit::toIValue(value);
  if (!constant || !constant->isTensor()) return std::nullopt;
  return constant->toTensor();
}

// x * scale + shift, as batch norm in evaluation is.
struct Affine {
  at::Tensor scale, shift;  // float64
};

// aten::batch_norm(input, weight, bias, mean, variance, training, momentum, eps, cudnn)
std::optional<Affine> affine_of(Node* norm) {
  std::vector<at::Tensor> parts;
  for (std::size_t i = 1; i <= 4; ++i) {
    const auto part = constant_tensor(norm->input(i));
    if (!part || !part->defined()) return std::nullopt;
    parts.push_back(part->to(at::kDouble));
  }
  const auto training = torch::jit::constant_as<bool>(norm->input(5));
  const auto eps = torch::jit::constant_as<double>(norm->input(7));
  if (!training || *training || !eps) return std::nullopt;
  const at::Tensor scale = parts[0] / at::sqrt(parts[3] + *eps);
  return Affine{scale, parts[1] - parts[2] * scale};
}

Value* insert_constant(Node* before, const at::Tensor& values) {
  const torch::jit::WithInsertPoint guard(before);
  return before->owningGraph()->insertConstant(values);
}

// The norm that alone feeds `linear`, aten::linear(input, weight, bias?), moves into its weights.
bool fold_norm_before(Node* linear) {
  Node* norm = linear->input(0)->node();
  if (!is(norm, "aten::batch_norm") || norm->output()->uses().size() != 1) return false;
  const auto affine = affine_of(norm);
  const auto weight = constant_tensor(linear->input(1));
  const auto bias = torch::jit::toIValue(linear->input(2));
  if (!affine || !weight || !bias) return false;
  const at::Tensor exact = weight->to(at::kDouble);
  at::Tensor shift = at::mv(exact, affine->shift);
  if (bias->isTensor()) shift = shift + bias->toTensor().to(at::kDouble);
  linear->replaceInput(0, norm->input(0));
  linear->replaceInput(
      1, insert_constant(linear, (exact * affine->scale).to(weight->scalar_type()).contiguous()));
  linear->replaceInput(2, insert_constant(linear, shift.to(weight->scalar_type())));
  return true;
}

}  // namespace

Module frozen(const Module& module) {
  const at::NoGradGuard guard;
  Module out = torch::jit::freeze_module(module);
  std::shared_ptr<Graph> graph = out.get_method("forward").graph();
  torch::jit::Inline(*graph);
  torch::jit::ConstantPropagation(graph);
  torch::jit::FoldFrozenLinearBatchnorm(graph);
  each_node(graph->block(), [](Node* node) {
    if (is(node, "aten::linear")) fold_norm_before(node);
  });
  torch::jit::ConstantPropagation(graph);
  torch::jit::EliminateDeadCode(graph);
  torch::jit::ConstantPooling(graph);
  return out;
}

int batch_norms_in(const Module& module) {
  int out = 0;
  each_node(module.get_method("forward").graph()->block(),
            [&](const Node* node) { out += is(node, "aten::batch_norm") ? 1 : 0; });
  return out;
}

}  // namespace gtrain::deploy

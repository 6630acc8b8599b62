#include "gtrain/deploy/freeze.h"

#include <ATen/ATen.h>
#include <torch/csrc/jit/ir/constants.h>
#include <torch/csrc/jit/ir/ir.h>
#include <torch/csrc/jit/passes/constant_pooling.h>
#include <torch/csrc/jit/passes/constant_propagation.h>
#include <torch/csrc/jit/passes/dead_code_elimination.h>
#include <torch/csrc/jit/passes/freeze_module.h>
#include <torch/csrc/jit/passes/inliner.h>

#include <optional>
#include <vector>

#include "deploy/detail/affine.h"
#include "gtrain/deploy/fused_fold.h"

namespace gtrain::deploy {
namespace {

using detail::Affine;
using detail::constant_tensor;
using detail::is;
using torch::jit::Graph;
using torch::jit::Module;
using torch::jit::Node;
using torch::jit::Value;

// aten::batch_norm(input, weight, bias, mean, variance, training, momentum, eps, cudnn)
std::optional<Affine> affine_of(Node* norm) {
  const auto training = torch::jit::constant_as<bool>(norm->input(5));
  const auto eps = torch::jit::constant_as<double>(norm->input(7));
  if (!training || *training || !eps) return std::nullopt;
  return detail::affine_of({norm->input(1), norm->input(2), norm->input(3), norm->input(4)}, *eps);
}

Value* insert_constant(Node* before, const at::Tensor& values) {
  const torch::jit::WithInsertPoint guard(before);
  return before->owningGraph()->insertConstant(values);
}

// aten::linear(input, weight, bias?) of constants, whose output has one reader.
bool is_foldable(Node* node) {
  return is(node, "aten::linear") && node->output()->uses().size() == 1 &&
         constant_tensor(node->input(1)) && torch::jit::toIValue(node->input(2));
}

// The map's rows times `scale`, its bias times it plus `shift`.
void scale_rows(Node* linear, const Affine& affine) {
  const at::Tensor weight = *constant_tensor(linear->input(1));
  const c10::IValue bias = *torch::jit::toIValue(linear->input(2));
  at::Tensor shift = affine.shift;
  if (bias.isTensor()) shift = shift + bias.toTensor().to(at::kDouble) * affine.scale;
  const at::Tensor rows = weight.to(at::kDouble) * affine.scale.unsqueeze(1);
  linear->replaceInput(1, insert_constant(linear, rows.to(weight.scalar_type())));
  linear->replaceInput(2, insert_constant(linear, shift.to(weight.scalar_type())));
}

// norm(W x + b). Torch's own pass does the same where others read W x + b too, which is wrong.
bool fold_norm_after(Node* norm) {
  Node* linear = norm->input(0)->node();
  const auto affine = affine_of(norm);
  if (!affine || !is_foldable(linear)) return false;
  scale_rows(linear, *affine);
  norm->output()->replaceAllUsesWith(linear->output());
  return true;
}

// norm(x + W h + b) as addcmul((s W) h + (s b + t), x, s): one pass in the place of two.
bool fold_norm_after_sum(Node* norm) {
  Node* sum = norm->input(0)->node();
  if (!is(sum, "aten::add") || sum->inputs().size() != 3 || sum->output()->uses().size() != 1) {
    return false;
  }
  const auto factor = torch::jit::toIValue(sum->input(2));
  if (!factor || !factor->isInt() || factor->toInt() != 1) return false;
  const std::size_t own = is_foldable(sum->input(0)->node()) ? 0 : 1;
  Node* linear = sum->input(own)->node();
  const auto affine = affine_of(norm);
  const bool tensor = sum->input(1 - own)->type()->isSubtypeOf(*c10::TensorType::get());
  if (!affine || !tensor || !is_foldable(linear)) return false;
  scale_rows(linear, *affine);
  const torch::jit::WithInsertPoint guard(norm);
  Graph* graph = norm->owningGraph();
  const at::ScalarType type = constant_tensor(norm->input(1))->scalar_type();
  Node* made = graph->insertNode(
      graph->create(c10::Symbol::fromQualString("aten::addcmul"),
                    {linear->output(), sum->input(1 - own),
                     graph->insertConstant(affine->scale.to(type)), graph->insertConstant(1)}));
  made->output()->setType(norm->output()->type());
  norm->output()->replaceAllUsesWith(made->output());
  return true;
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
  std::vector<Node*> nodes;
  detail::each_node(graph->block(), [&](Node* node) { nodes.push_back(node); });
  for (Node* node : nodes) {
    if (is(node, "aten::batch_norm") && !fold_norm_after(node)) fold_norm_after_sum(node);
    if (is(node, "aten::linear")) fold_norm_before(node);
  }
  fold_fused(*graph);
  torch::jit::ConstantPropagation(graph);
  torch::jit::EliminateDeadCode(graph);
  torch::jit::ConstantPooling(graph);
  return out;
}

int batch_norms_in(const Module& module) {
  int out = 0;
  detail::each_node(module.get_method("forward").graph()->block(), [&](const Node* node) {
    out += is(node, "aten::batch_norm") || is(node, "gtrain::batch_norm") ? 1 : 0;
  });
  return out;
}

}  // namespace gtrain::deploy

#include "zero_weight.h"

#include <ATen/ATen.h>

#include <string_view>
#include <utility>

#include "gtrain/nn/attention.h"
#include "gtrain/nn/linear.h"
#include "gtrain/nn/message.h"
#include "gtrain/nn/performer.h"
#include "gtrain/nn/pna.h"
#include "gtrain/ops/sparse_linear.h"

namespace gtrain::sparsify::detail {
namespace {

constexpr std::int64_t kSmall = 256;  // entries of a matrix that is not worth it

// A weight that its module multiplies by itself.
struct Matrix {
  torch::nn::Module* module;
  std::string path, name;  // of the module; of the weight in it
  at::Tensor value;
  double work;  // of the module's products, a row: 2 of each entry and 1 of each bias
};

// Whether a layer puts the weight of this child together with others before it multiplies.
bool merges(const torch::nn::Module& module, std::string_view child) {
  const auto among = [&](const auto&... names) { return ((child == names) || ...); };
  if (dynamic_cast<const nn::GatedGcn*>(&module) != nullptr) return among("a", "b", "d", "e");
  if (dynamic_cast<const nn::Performer*>(&module) != nullptr) return among("q", "k", "v");
  return dynamic_cast<const nn::Pna*>(&module) != nullptr && among("pre");
}

std::vector<Matrix> matrices(torch::nn::Module& model) {
  std::vector<Matrix> out;
  model.apply([&](const std::string& path, torch::nn::Module& module) {
    if (auto* attention = dynamic_cast<nn::Attention*>(&module)) {
      const at::Tensor &in = attention->in_weight, &last = attention->out_weight;
      const auto work =
          static_cast<double>(2 * (in.numel() + last.numel()) + in.size(0) + last.size(0));
      out.push_back({&module, path, "in_weight", in, work});
      out.push_back({&module, path, "out_weight", last, work});
    }
    for (const auto& child : module.named_children()) {
      auto* linear = dynamic_cast<nn::Linear*>(child.value().get());
      const bool gate = child.key().ends_with("_gate");
      if (linear == nullptr || gate || merges(module, child.key())) continue;
      const std::string own = path.empty() ? child.key() : path + "." + child.key();
      const at::Tensor& w = linear->weight;
      const std::int64_t added = linear->bias.defined() ? w.size(0) : 0;
      out.push_back({linear, own, "weight", w, static_cast<double>(2 * w.numel() + added)});
    }
  });
  return out;
}

void mark(const Matrix& matrix, std::int64_t entries) {
  matrix.module->register_buffer(matrix.name + "_entries", at::tensor({entries}, at::kLong));
  ops::leave_zeros_out(matrix.value);
}

bool is_marked(const Matrix& matrix) {
  return matrix.module->named_buffers(false).contains(matrix.name + "_entries");
}

}  // namespace

std::vector<Cut> leave_zeros_out(torch::nn::Module& model) {
  std::vector<Cut> cuts;
  for (const Matrix& matrix : matrices(model)) {
    const std::int64_t all = matrix.value.numel();
    if (all < kSmall || is_marked(matrix)) continue;
    const auto left = matrix.value.detach().count_nonzero().item<std::int64_t>();
    const double kept = static_cast<double>(left) / static_cast<double>(all);
    if (kept > kFewEntries) continue;
    mark(matrix, left);
    cuts.push_back({.path = matrix.path + "." + matrix.name,
                    .what = "weights",
                    .before = all,
                    .after = left,
                    .modules = {matrix.path},
                    .gone = 2 * static_cast<double>(all - left) / matrix.work,
                    .parameters = all - left});
  }
  return cuts;
}

void mark_as_saved(torch::nn::Module& model, const std::map<std::string, at::Tensor>& tensors) {
  for (const Matrix& matrix : matrices(model)) {
    const auto it = tensors.find(matrix.path + "." + matrix.name + "_entries");
    if (it == tensors.end() || it->second.numel() != 1 || is_marked(matrix)) continue;
    mark(matrix, it->second.item<std::int64_t>());
  }
}

}  // namespace gtrain::sparsify::detail

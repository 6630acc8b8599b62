#include "zero_weight.h"

#include <ATen/ATen.h>

#include <algorithm>
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

std::string full_name(const Matrix& matrix) { return matrix.path + "." + matrix.name; }

std::int64_t nonzeros(const Matrix& matrix) {
  return matrix.value.detach().count_nonzero().item<std::int64_t>();
}

// The entries that a matrix was marked with; all of them where it is not marked.
std::int64_t noted_entries(const Matrix& matrix) {
  const auto buffers = matrix.module->named_buffers(false);
  const at::Tensor* noted = buffers.find(matrix.name + "_entries");
  return noted != nullptr ? noted->item<std::int64_t>() : matrix.value.numel();
}

bool is_marked(const Matrix& matrix) { return noted_entries(matrix) < matrix.value.numel(); }

// Also anew: of a marked matrix the entries may have become others. All entries: no mark.
void mark(const Matrix& matrix, std::int64_t entries) {
  const std::string name = matrix.name + "_entries";
  const auto buffers = matrix.module->named_buffers(false);
  if (const at::Tensor* noted = buffers.find(name)) {
    noted->fill_(entries);
  } else {
    matrix.module->register_buffer(name, at::tensor({entries}, at::kLong));
  }
  at::Tensor value = matrix.value;
  if (entries < value.numel()) {
    ops::leave_zeros_out(value);
  } else if (ops::kept_pattern(value) != nullptr) {
    value.set_data(value.detach().clone());  // new values have no mark
  }
}

// Of a module's products the share that cuts of heads or hidden units leave.
double share_left(const std::vector<Cut>& cuts, const std::string& module) {
  double left = 1;
  for (const Cut& cut : cuts) {
    if (cut.what == "weights") continue;
    left -= cut.gone * static_cast<double>(std::ranges::count(cut.modules, module));
  }
  return left;
}

}  // namespace

Uncut uncut(torch::nn::Module& model) {
  Uncut out;
  for (const Matrix& matrix : matrices(model)) {
    Uncut::Matrix& own = out.matrices[full_name(matrix)];
    own.entries = matrix.value.numel();
    out.work.emplace(matrix.path, matrix.work);
    if (!is_marked(matrix)) continue;
    own.noted = noted_entries(matrix);
    own.entries = nonzeros(matrix);
    own.zeros = matrix.value.numel() - own.entries;
    out.work[matrix.path] -= 2 * static_cast<double>(own.zeros);
  }
  return out;
}

void leave_zeros_out(torch::nn::Module& model, const Uncut& before, std::vector<Cut>& cuts) {
  for (const Matrix& matrix : matrices(model)) {
    const Uncut::Matrix& old = before.matrices.at(full_name(matrix));
    const std::int64_t all = matrix.value.numel();
    if (!old.noted && all < kSmall) continue;
    const std::int64_t left = nonzeros(matrix);
    const double kept =
        static_cast<double>(left) / static_cast<double>(std::max<std::int64_t>(all, 1));
    if (!old.noted && kept > kFewEntries) continue;
    mark(matrix, left);
    const bool same = old.noted == left && old.zeros == all - left;
    if (all == 0 || same) continue;
    const double share = share_left(cuts, matrix.path);
    const double gone = share * static_cast<double>(old.entries) - static_cast<double>(left);
    cuts.push_back({.path = full_name(matrix),
                    .what = "weights",
                    .before = old.noted.value_or(all),
                    .after = left,
                    .modules = {matrix.path},
                    .gone = 2 * gone / (share * before.work.at(matrix.path)),
                    .parameters = all - left - old.zeros});
  }
}

void mark_as_saved(torch::nn::Module& model, const std::map<std::string, at::Tensor>& tensors) {
  for (const Matrix& matrix : matrices(model)) {
    const auto it = tensors.find(full_name(matrix) + "_entries");
    if (it == tensors.end() || it->second.numel() != 1) continue;
    mark(matrix, it->second.item<std::int64_t>());
  }
}

void put_zeros_back(torch::nn::Module& model, const std::vector<std::string>& names) {
  for (const Matrix& matrix : matrices(model)) {
    if (!is_marked(matrix) || std::ranges::count(names, full_name(matrix)) == 0) continue;
    mark(matrix, matrix.value.numel());
  }
}

}  // namespace gtrain::sparsify::detail

#include "gtrain/nn/head.h"

#include <fmt/format.h>

#include "gtrain/ops/segment.h"

namespace gtrain::nn {
namespace {

constexpr double kTiny = 1e-12;  // floor of a row's norm, as in torch's normalize

at::Tensor pool_rows(const at::Tensor& x, const at::Tensor& start, Pool pool) {
  switch (pool) {
    case Pool::kSum:
      return ops::segment_sum(x, start);
    case Pool::kMean:
      return ops::segment_mean(x, start);
    case Pool::kMax:
      return ops::segment_max(x, start);
    case Pool::kNone:
      break;
  }
  return x;
}

std::string pool_script(Pool pool) {
  if (pool == Pool::kNone) return "    h = x\n";
  const std::string graphs =
      "    graphs = int(batch[-1]) + 1 if batch.numel() > 0 else 0\n"
      "    zero = torch.zeros([graphs, x.size(1)], dtype=x.dtype, device=x.device)\n";
  if (pool == Pool::kMax) {
    return graphs +
           "    index = batch.unsqueeze(1).expand_as(x)\n"
           "    h = torch.scatter_reduce(zero, 0, index, x, \"amax\", include_self=False)\n";
  }
  if (pool == Pool::kSum) return graphs + "    h = torch.index_add(zero, 0, batch, x)\n";
  return graphs +
         "    count = torch.bincount(batch, minlength=graphs).to(x.dtype).unsqueeze(1)\n"
         "    h = torch.index_add(zero, 0, batch, x) / torch.clamp(count, 1)\n";
}

}  // namespace

Pool pool_named(const std::string& name) {
  if (name == "sum") return Pool::kSum;
  if (name == "mean") return Pool::kMean;
  TORCH_CHECK(name == "max", "[pool] got ", name, "; expected sum, mean or max");
  return Pool::kMax;
}

Head::Head(Pool pool, Activation activation, bool unit_rows)
    : pool_(pool), activation_(activation), unit_rows_(unit_rows) {}

void Head::append(std::int64_t inputs, std::int64_t outputs) {
  linear_.push_back(register_module(fmt::format("linear_{}", linear_.size()),
                                    std::make_shared<Linear>(inputs, outputs)));
}

at::Tensor Head::forward(const at::Tensor& x, const at::Tensor& graph_start) {
  at::Tensor h = pool_rows(x, graph_start, pool_);
  for (std::size_t i = 0; i + 1 < linear_.size(); ++i) {
    h = activate(linear_[i]->forward(h), activation_);
    if (unit_rows_) h = h / h.norm(2, -1, true).clamp_min(kTiny);
  }
  return linear_.back()->forward(h);
}

std::string Head::script() const {
  std::string text =
      "def forward(self, x: Tensor, batch: Tensor) -> Tensor:\n" + pool_script(pool_);
  for (std::size_t i = 0; i + 1 < linear_.size(); ++i) {
    text += fmt::format("    h = {}\n",
                        script_of(activation_, fmt::format("self.linear_{}.forward(h)", i)));
    if (unit_rows_) text += "    h = h / torch.clamp(torch.norm(h, 2, -1, True), 1e-12)\n";
  }
  return text + fmt::format("    return self.linear_{}.forward(h)\n", linear_.size() - 1);
}

HalvingHead::HalvingHead(std::int64_t width, std::int64_t outputs, std::int64_t layers, Pool pool,
                         Activation activation)
    : Head(pool, activation, false) {
  for (std::int64_t i = 0; i < layers; ++i, width /= 2) append(width, width / 2);
  append(width, outputs);
}

MlpHead::MlpHead(std::int64_t width, std::int64_t outputs, std::int64_t layers, Pool pool,
                 Activation activation)
    : Head(pool, activation, true) {
  for (std::int64_t i = 0; i + 1 < layers; ++i) append(width, width);
  append(width, outputs);
}

}  // namespace gtrain::nn

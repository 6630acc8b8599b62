#include "gtrain/nn/adjacency.h"

#include <ATen/ATen.h>

#include "gtrain/ops/message.h"
#include "gtrain/ops/segment.h"

namespace gtrain::nn {

at::Tensor normalised_sum(const at::Tensor& h, const ops::EdgeIndex& edges) {
  const at::Tensor other = (edges.source != edges.target).to(h.scalar_type());
  const at::Tensor degree = ops::segment_sum(other.unsqueeze(1), edges.in_start).squeeze(1) + 1;
  const at::Tensor scale = degree.rsqrt();
  const at::Tensor weight =
      other * scale.index_select(0, edges.source) * scale.index_select(0, edges.target);
  return ops::weighted_aggregate(h, degree.reciprocal().to(h.device()), weight.to(h.device()),
                                 edges);
}

std::string normalised_sum_script() {
  return "def normalised_sum(self, h: Tensor, source: Tensor, target: Tensor) -> Tensor:\n"
         "    other = (source != target).to(h.dtype)\n"
         "    degree = torch.index_add(torch.ones([h.size(0)], dtype=h.dtype, device=h.device), 0, "
         "target, other)\n"
         "    scale = torch.rsqrt(degree)\n"
         "    weight = other * scale.index_select(0, source) * scale.index_select(0, target)\n"
         "    message = h.index_select(0, source) * weight.unsqueeze(1)\n"
         "    return torch.index_add(h / degree.unsqueeze(1), 0, target, message)\n";
}

std::string fused_normalised_sum_script() {
  return "def normalised_sum(self, h: Tensor, source: Tensor, target: Tensor) -> Tensor:\n"
         "    other = (source != target).to(h.dtype)\n"
         "    degree = gtrain.reduce(other.unsqueeze(1), target, h.size(0), \"sum\")[:, 0] + 1\n"
         "    scale = torch.rsqrt(degree)\n"
         "    weight = other * scale.index_select(0, source) * scale.index_select(0, target)\n"
         "    return gtrain.aggregate(h, torch.reciprocal(degree), weight, source, target)\n";
}

}  // namespace gtrain::nn

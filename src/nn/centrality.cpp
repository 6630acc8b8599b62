#include "gtrain/nn/centrality.h"

#include <ATen/ops/clamp.h>
#include <ATen/ops/embedding.h>
#include <fmt/format.h>

namespace gtrain::nn {

Centrality::Centrality(std::int64_t width, const CentralityShape& shape) : shape_(shape) {
  in_degree = parameter("in_degree", {shape.rows, width});
  out_degree = parameter("out_degree", {shape.rows, width});
}

at::Tensor Centrality::forward(const at::Tensor& degree) {
  TORCH_CHECK(degree.dim() == 2 && degree.size(1) == 2, "[centrality] degree has shape ",
              degree.sizes(), "; expected [N, 2]");
  const at::Tensor row = at::clamp(
      degree.to(in_degree.device(), at::kLong) + (shape_.padding_row ? 1 : 0), 0, shape_.rows - 1);
  const at::Tensor out = row.select(1, 1).contiguous();
  const at::Tensor in = shape_.out_degree_twice ? out : row.select(1, 0).contiguous();
  return at::embedding(in_degree, in) + at::embedding(out_degree, out);
}

std::string Centrality::script() const {
  return fmt::format(
      "def forward(self, degree: Tensor) -> Tensor:\n"
      "    row = torch.clamp(degree.to(4) + {}, 0, {})\n"
      "    return torch.embedding(self.in_degree, row[:, {}]) + "
      "torch.embedding(self.out_degree, row[:, 1])\n",
      shape_.padding_row ? 1 : 0, shape_.rows - 1, shape_.out_degree_twice ? 1 : 0);
}

void Centrality::initialise(base::Random& random) {
  draw_normal(in_degree, 0.02, random);
  draw_normal(out_degree, 0.02, random);
}

}  // namespace gtrain::nn

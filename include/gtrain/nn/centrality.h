// Centrality encoding of Graphormer (Ying et al. 2021): z_in[in-degree] + z_out[out-degree], added
// to the node vectors. Degrees beyond the tables share their last row. Parameters in_degree,
// out_degree [rows, D], N(0, 0.02²).
#pragma once

#include "gtrain/nn/layer.h"

namespace gtrain::nn {

struct CentralityShape {
  std::int64_t rows = 64;
  bool padding_row = false;       // degree k is row k + 1; row 0 stays unused
  bool out_degree_twice = false;  // both tables are read at the out-degree
};

class Centrality final : public Layer {
 public:
  Centrality(std::int64_t width, const CentralityShape& shape);
  at::Tensor forward(const at::Tensor& degree);  // [N, 2] (in, out) -> [N, D]
  std::string script() const override;           // forward(self, degree: Tensor)
  void initialise(base::Random& random) override;

  at::Tensor in_degree, out_degree;

 private:
  CentralityShape shape_;
};

}  // namespace gtrain::nn

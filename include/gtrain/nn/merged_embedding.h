// Vectors for categorical columns from one table that they share: out = sum over columns c of
// table[x[:, c] + 2 + stride c]. Rows 0 and 1 are left to padding, as the authors of Graphormer lay
// their table out. Parameter table [rows, D], N(0, 0.02²).
#pragma once

#include <vector>

#include "gtrain/nn/layer.h"

namespace gtrain::nn {

class MergedEmbedding final : public Layer {
 public:
  struct Shape {
    std::int64_t rows, stride, width;
  };
  // Throws c10::Error where the table is too small for the categories.
  MergedEmbedding(std::vector<std::int64_t> categories, const Shape& shape);
  at::Tensor forward(const at::Tensor& x);  // int64 [N, F], F >= columns -> [N, D]
  std::string script() const override;
  void initialise(base::Random& random) override;

  const std::vector<std::int64_t>& categories() const { return categories_; }  // of each column

  at::Tensor table;

 private:
  std::vector<std::int64_t> categories_;
  std::int64_t stride_;
};

}  // namespace gtrain::nn

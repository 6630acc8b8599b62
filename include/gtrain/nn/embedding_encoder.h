// Vectors for integer columns of an encoding: out = sum over columns c of table_c[min(x_c, count -
// 1)], e.g. of the Weisfeiler-Lehman roles of GT (Dwivedi & Bresson 2021). Tables N(0, 1).
#pragma once

#include <vector>

#include "gtrain/nn/encoder.h"

namespace gtrain::nn {

class EmbeddingEncoder final : public Encoder {
 public:
  // `inputs` columns; every table has `count` rows, `width` wide.
  EmbeddingEncoder(std::int64_t inputs, std::int64_t count, std::int64_t width);
  // One column tensor [N, inputs] of whole numbers from 0 -> [N, width].
  at::Tensor encode(const std::vector<at::Tensor>& columns, const EncoderGraph& graph,
                    Context& context) override;
  std::string script() const override;
  void initialise(base::Random& random) override;

 private:
  std::vector<at::Tensor> tables_;  // parameters "column_<c>" [count, width]
};

}  // namespace gtrain::nn

// LapPE's Transformer (Kreuzer et al. 2021; Rampasek et al. 2022): a node's eigenpairs are a
// sequence,
//   h_k = W (v_ik, lambda_k) + b           k = the pairs that exist
//   h <- norm(h + Drop(Attention(h)))      h <- norm(h + Drop(W2 Drop(relu(W1 h))))    `layers`
//   times out_i = sum_k h_k
// with layer norm over channels: torch's TransformerEncoder with its defaults, whose dropout of 0.1
// the authors leave on. Layers are drawn each on its own (torch copies the first one).
// Never across nodes and never padded: missing pairs are no rows.
// Cost: N K rows of width max(3 D, feed); attention N K^2 D.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gtrain/nn/encoder.h"

namespace gtrain::nn {

class EigenTransformer final : public EigenpairEncoder {
 public:
  struct Options {
    std::int64_t layers = 2, heads = 4, feed = 2048;
    double dropout = 0.1;
  };
  // heads divides shape.width.
  EigenTransformer(const EigenpairShape& shape, const Options& options);

 private:
  class Block;
  at::Tensor sum_pairs(const at::Tensor& pairs, const at::Tensor& missing,
                       Context& context) override;
  std::string sum_script() const override;

  std::shared_ptr<Linear> pair_;                // "pair"
  std::vector<std::shared_ptr<Block>> blocks_;  // "block_<i>"
};

}  // namespace gtrain::nn

// Vectors for categorical columns: out = sum over columns c of table_c[x[:, c]].
// One table per column. Throws c10::Error for a value outside its table, naming column and value;
// with `clamp` larger values count as the table's last row.
#pragma once

#include <string>
#include <vector>

#include "gtrain/nn/layer.h"

namespace gtrain::nn {

enum class EmbeddingInit {
  kNormal,  // N(0, 1): type dictionaries
  kXavier,  // U(±sqrt(6/(rows + D))): OGB's atom and bond encoders
};

class Embedding final : public Layer {
 public:
  Embedding(std::vector<std::int64_t> categories, std::int64_t width, EmbeddingInit init,
            bool clamp = false);
  at::Tensor forward(const at::Tensor& x);  // int64 [N, F], F >= columns -> [N, D]
  std::string script() const override;
  std::string fused_script() const override;
  void initialise(base::Random& random) override;
  bool clamps() const { return clamp_; }

  std::vector<at::Tensor> tables;  // parameters "column_<c>" [categories[c], D]

 private:
  EmbeddingInit init_;
  bool clamp_;
};

// The same learned vector for every row (sets without features). N(0, 1).
class Constant final : public Layer {
 public:
  explicit Constant(std::int64_t width);
  at::Tensor forward(std::int64_t rows);  // [rows, D]
  std::string script() const override;    // forward(self, rows: int)
  void initialise(base::Random& random) override;

  at::Tensor vector;  // parameter "vector" [1, D]
};

}  // namespace gtrain::nn

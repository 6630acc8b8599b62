#include "gtrain/nn/embedding_encoder.h"

#include <fmt/format.h>

namespace gtrain::nn {

EmbeddingEncoder::EmbeddingEncoder(std::int64_t inputs, std::int64_t count, std::int64_t width) {
  for (std::int64_t c = 0; c < inputs; ++c) {
    tables_.push_back(parameter(fmt::format("column_{}", c), {count, width}));
  }
}

at::Tensor EmbeddingEncoder::encode(const std::vector<at::Tensor>& columns, const EncoderGraph&,
                                    Context&) {
  const std::int64_t last = tables_.front().size(0) - 1;
  const at::Tensor ids = columns.front().clamp(0, last).to(at::kLong);
  at::Tensor out;
  for (std::size_t c = 0; c < tables_.size(); ++c) {
    const at::Tensor rows =
        at::embedding(tables_[c], ids.select(1, static_cast<std::int64_t>(c)).contiguous());
    out = out.defined() ? out + rows : rows;
  }
  return out;
}

std::string EmbeddingEncoder::script() const {
  std::string sum;
  for (std::size_t c = 0; c < tables_.size(); ++c) {
    sum += fmt::format("{}torch.embedding(self.column_{}, ids[:, {}])", c == 0 ? "" : " + ", c, c);
  }
  return fmt::format(
      "def forward(self, columns: List[Tensor], edge_index: Tensor, batch: Tensor) -> Tensor:\n"
      "    ids = torch.clamp(columns[0], 0, {}).to(4)\n"
      "    return {}\n",
      tables_.front().size(0) - 1, sum);
}

void EmbeddingEncoder::initialise(base::Random& random) {
  for (const at::Tensor& table : tables_) draw_normal(table, 1.0, random);
}

}  // namespace gtrain::nn

#include "gtrain/nn/merged_embedding.h"

#include <ATen/ops/embedding.h>
#include <fmt/format.h>

namespace gtrain::nn {
namespace {

constexpr std::int64_t kFirst = 2;

}  // namespace

MergedEmbedding::MergedEmbedding(std::vector<std::int64_t> categories, const Shape& shape)
    : categories_(std::move(categories)), stride_(shape.stride) {
  const auto columns = static_cast<std::int64_t>(categories_.size());
  for (std::int64_t c = 0; c < columns; ++c) {
    const std::int64_t end = categories_[static_cast<std::size_t>(c)] + kFirst + stride_ * c;
    TORCH_CHECK(end <= shape.rows, "[merged_embedding] column ", c, " ends at row ", end,
                "; the table has ", shape.rows);
  }
  table = parameter("table", {shape.rows, shape.width});
}

at::Tensor MergedEmbedding::forward(const at::Tensor& x) {
  TORCH_CHECK(x.dim() == 2 && x.scalar_type() == at::kLong &&
                  x.size(1) >= static_cast<std::int64_t>(categories_.size()),
              "[merged_embedding] x has shape ", x.sizes(), " and type ", x.scalar_type(),
              "; expected int64 [N, ", categories_.size(), "]");
  at::Tensor out;
  for (std::size_t c = 0; c < categories_.size(); ++c) {
    const auto column_number = static_cast<std::int64_t>(c);
    const at::Tensor column = x.select(1, column_number).contiguous();
    const std::int64_t* ids = column.const_data_ptr<std::int64_t>();
    for (std::int64_t i = 0; column.is_cpu() && i < column.numel(); ++i) {
      TORCH_CHECK(ids[i] >= 0 && ids[i] < categories_[c], "[merged_embedding] column ", c,
                  " holds ", ids[i], "; expected a category below ", categories_[c]);
    }
    const at::Tensor row = (column + (kFirst + stride_ * column_number)).to(table.device());
    const at::Tensor rows = at::embedding(table, row);
    out = out.defined() ? out + rows : rows;
  }
  return out;
}

std::string MergedEmbedding::script() const {
  std::string sum;
  for (std::size_t c = 0; c < categories_.size(); ++c) {
    sum += fmt::format("{}torch.embedding(self.table, x[:, {}].to(4) + {})", c == 0 ? "" : " + ", c,
                       kFirst + stride_ * static_cast<std::int64_t>(c));
  }
  return fmt::format("def forward(self, x: Tensor) -> Tensor:\n    return {}\n", sum);
}

void MergedEmbedding::initialise(base::Random& random) { draw_normal(table, 0.02, random); }

}  // namespace gtrain::nn

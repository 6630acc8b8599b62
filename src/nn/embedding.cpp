#include "gtrain/nn/embedding.h"

#include <fmt/format.h>

#include <cmath>

namespace gtrain::nn {

Embedding::Embedding(std::vector<std::int64_t> categories, std::int64_t width, EmbeddingInit init,
                     bool clamp)
    : init_(init), clamp_(clamp) {
  for (std::size_t c = 0; c < categories.size(); ++c) {
    tables.push_back(parameter(fmt::format("column_{}", c), {categories[c], width}));
  }
}

at::Tensor Embedding::forward(const at::Tensor& x) {
  TORCH_CHECK(x.dim() == 2 && x.scalar_type() == at::kLong &&
                  x.size(1) >= static_cast<std::int64_t>(tables.size()),
              "[embedding] x has shape ", x.sizes(), " and type ", x.scalar_type(),
              "; expected int64 [N, ", tables.size(), "]");
  at::Tensor out;
  for (std::size_t c = 0; c < tables.size(); ++c) {
    const at::Tensor raw = x.select(1, static_cast<std::int64_t>(c));
    const at::Tensor column = clamp_ ? at::clamp_max(raw, tables[c].size(0) - 1) : raw.contiguous();
    const std::int64_t* ids = column.const_data_ptr<std::int64_t>();
    for (std::int64_t i = 0; column.is_cpu() && i < column.numel(); ++i) {
      TORCH_CHECK(ids[i] >= 0 && ids[i] < tables[c].size(0), "[embedding] column ", c, " holds ",
                  ids[i], "; expected a category below ", tables[c].size(0));
    }
    const at::Tensor rows = at::embedding(tables[c], column.to(tables[c].device()));
    out = out.defined() ? out + rows : rows;
  }
  return out;
}

std::string Embedding::script() const {
  std::string sum;
  for (std::size_t c = 0; c < tables.size(); ++c) {
    const std::string ids =
        clamp_ ? fmt::format("torch.clamp_max(x[:, {}], {}).to(4)", c, tables[c].size(0) - 1)
               : fmt::format("x[:, {}].to(4)", c);
    sum += fmt::format("{}torch.embedding(self.column_{}, {})", c == 0 ? "" : " + ", c, ids);
  }
  return fmt::format("def forward(self, x: Tensor) -> Tensor:\n    return {}\n", sum);
}

std::string Embedding::fused_script() const {
  std::string list;
  for (std::size_t c = 0; c < tables.size(); ++c) {
    list += fmt::format("{}self.column_{}", c == 0 ? "" : ", ", c);
  }
  return fmt::format(
      "def forward(self, x: Tensor) -> Tensor:\n    return gtrain.embed(x, [{}], {})\n", list,
      clamp_ ? "True" : "False");
}

void Embedding::initialise(base::Random& random) {
  for (const at::Tensor& table : tables) {
    if (init_ == EmbeddingInit::kNormal) {
      draw_normal(table, 1.0, random);
    } else {
      draw_uniform(table, std::sqrt(6.0 / static_cast<double>(table.size(0) + table.size(1))),
                   random);
    }
  }
}

Constant::Constant(std::int64_t width) { vector = parameter("vector", {1, width}); }

at::Tensor Constant::forward(std::int64_t rows) { return vector.expand({rows, -1}); }

std::string Constant::script() const {
  return "def forward(self, rows: int) -> Tensor:\n"
         "    return self.vector.expand(rows, -1)\n";
}

void Constant::initialise(base::Random& random) { draw_normal(vector, 1.0, random); }

}  // namespace gtrain::nn

#include "flag.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>

#include "gtrain/base/error.h"
#include "gtrain/base/random.h"

namespace gtrain::train {

at::Tensor first_perturbation(const FlagOptions& options, std::int64_t nodes, std::int64_t width,
                              std::uint64_t key) {
  const double bound =
      options.mag > 0.0 ? options.mag / std::sqrt(static_cast<double>(width)) : options.size;
  at::Tensor out = at::empty({nodes, width}, at::kFloat);
  auto* value = out.mutable_data_ptr<float>();
  base::Random random(key);
  for (std::int64_t i = 0; i < nodes * width; ++i) {
    value[i] = static_cast<float>(bound * (2.0 * random.uniform() - 1.0));
  }
  return out;
}

at::Tensor climb(const FlagOptions& options, const at::Tensor& perturbation,
                 const at::Tensor& gradient) {
  const at::NoGradGuard no_grad;
  const at::Tensor next = perturbation.detach() + options.size * gradient.sign();
  if (options.mag <= 0.0) return next;
  const at::Tensor length = next.norm(2, -1, true);  // [N, 1]
  return next * at::where(length > options.mag, options.mag / length, at::ones_like(length));
}

std::int64_t node_width(const models::ModelOptions& options) {
  if (const std::optional<std::int64_t> width = options.node_width()) return *width;
  throw base::RecipeError(
      fmt::format("train.flag: {} has no node vectors to perturb", options.name()));
}

}  // namespace gtrain::train

// FLAG, free large-scale adversarial augmentation on graphs (Kong et al. 2020), as Graphormer uses
// it: m passes over a batch, each with a perturbation of the node vectors that has climbed the loss
// once more.
//   d_0     uniform in (-1, 1) mag/sqrt(D) where mag > 0, else in (-size, size)
//   d_k+1   clip(d_k + size sign(∂loss/∂d_k)); clip shortens rows longer than mag to mag, mag > 0
//   weights follow the mean gradient of the m passes (each pass draws dropout masks of its own)
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "gtrain/models/zoo.h"
#include "gtrain/train/recipe.h"

namespace gtrain::train {

// d_0: float [nodes, width], a function of `key`.
at::Tensor first_perturbation(const FlagOptions& options, std::int64_t nodes, std::int64_t width,
                              std::uint64_t key);
// d_k+1 from d_k and the gradient of the loss by it.
at::Tensor climb(const FlagOptions& options, const at::Tensor& perturbation,
                 const at::Tensor& gradient);

// D of a model's node vectors. Throws base::RecipeError for a model without a width.
std::int64_t node_width(const models::ModelOptions& options);

}  // namespace gtrain::train

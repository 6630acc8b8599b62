// Structure 2:4: each four neighbours of a row of a weight (a quad) keep four or two.
#pragma once

#include "gtrain/sparsify/weight_mask.h"

namespace gtrain::sparsify::detail {

// Halves whole quads, those whose two smallest weights weigh least first, until `density` of the
// weights live (1/2: all quads).
void halve_quads(Masked& weight, double density);

// In `share` of the halved quads, those with the weakest living weight first, it dies, and of the
// three that are dead then the one with the largest gradient lives.
void exchange_in_quads(Masked& weight, double share, const at::Tensor& gradient);

}  // namespace gtrain::sparsify::detail

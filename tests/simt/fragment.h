// A product of 16-bit or tf32 matrices by one warp: C [16, 8] = A [16, depth] B [depth, 8] + C.
#pragma once

#include "ops/cuda/element.h"

namespace gtrain::simt_fragment {

// A in rows; B in columns (b[n * depth + k]), or in rows and loaded transposed.
template <class S>
void multiply(int depth, bool b_in_rows, const S* a, const S* b, float* c);

// depth 8, both in rows.
void multiply_tf32(const float* a, const float* b, float* c);

}  // namespace gtrain::simt_fragment

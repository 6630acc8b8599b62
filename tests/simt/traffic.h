// Kernels whose requests to memory are known by hand.
#pragma once

namespace gtrain::simt_traffic {

void strided_load(const float* in, float* out, int stride);
void strided_shared(int stride, float* out);
void column_of_matrices(int stride, const unsigned short* in, float* out);
void vector_shared(float* out);

}  // namespace gtrain::simt_traffic

// Where element i of a lane's registers lies in the matrices of mma and ldmatrix (PTX ISA, "Matrix
// Fragments"). tests/simt/fragment_test.cpp holds these maps against CuTe's layouts.
#pragma once

namespace gtrain::simt {

struct Place {
  int row, column;
};

// A of m16n8k16 and m16n8k8, 16-bit elements: i in 0..7, or 0..3.
inline Place half_a(int lane, int i) {
  return {lane / 4 + 8 * (i / 2 % 2), 2 * (lane % 4) + i % 2 + 8 * (i / 4)};
}
inline Place half_b(int lane, int i) { return {2 * (lane % 4) + i % 2 + 8 * (i / 2), lane / 4}; }
// m16n8k8 of tf32: i in 0..3 and 0..1.
inline Place tf32_a(int lane, int i) { return {lane / 4 + 8 * (i % 2), lane % 4 + 4 * (i / 2)}; }
inline Place tf32_b(int lane, int i) { return {lane % 4 + 4 * i, lane / 4}; }
// C and D of all of them.
inline Place accumulator(int lane, int i) {
  return {lane / 4 + 8 * (i / 2), 2 * (lane % 4) + i % 2};
}
// Element `half` of a register that ldmatrix fills from one 8x8 matrix.
inline Place matrix_element(int lane, int half, bool transposed) {
  const int row = lane / 4, column = 2 * (lane % 4) + half;
  return transposed ? Place{column, row} : Place{row, column};
}

}  // namespace gtrain::simt

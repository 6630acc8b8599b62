// Matrix instructions of a warp. Where a lane's registers lie in the fragments (g = lane / 4,
// t = lane % 4):
//   A 16 x k, 16-bit: (g, 2t..), (g+8, 2t..), (g, 2t+8..), (g+8, 2t+8..); k = 8: the first two
//   B k x 8,  16-bit: rows 2t.. and 2t+8.., column g
//   A, B tf32:        (g, t), (g+8, t), (g, t+4), (g+8, t+4); rows t and t+4, column g
//   C 16 x 8:         (g, 2t), (g, 2t+1), (g+8, 2t), (g+8, 2t+1)
#include <cstring>

#include "ops/cuda/device.cuh"
#include "support/simt/fragment.h"
#include "support/simt/state.h"

namespace gtrain::simt {

namespace {

double value_of(std::uint32_t word, int half, Element element) {
  if (element == Element::kTf32) return ops::cuda::detail::float_of(word & 0xffffe000u);
  const auto bits = static_cast<std::uint16_t>(half == 0 ? word : word >> 16);
  return element == Element::kBf16 ? ops::cuda::to_float(ops::cuda::bf16{bits})
                                   : ops::cuda::to_float(ops::cuda::f16{bits});
}

// The multiply-add of one product when every partial sum is cut to a float.
double truncated(double x) {
  std::uint64_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  bits &= ~((1ULL << 29) - 1);
  std::memcpy(&x, &bits, sizeof(bits));
  return x;
}

struct Operands {
  double a[16][16], b[16][8], c[16][8];
};

void gather(const Warp& w, int depth, Element element, Operands& m) {
  const int halves = element == Element::kTf32 ? 1 : 2;
  const int a_words = 16 * depth / 32 / halves, b_words = depth * 8 / 32 / halves;
  for (int lane = 0; lane < 32; ++lane) {
    const Offer& o = w.offers[lane];
    for (int i = 0; i < a_words * halves; ++i) {
      const Place p = element == Element::kTf32 ? tf32_a(lane, i) : half_a(lane, i);
      m.a[p.row][p.column] =
          value_of(static_cast<const std::uint32_t*>(o.a)[i / halves], i % halves, element);
    }
    for (int i = 0; i < b_words * halves; ++i) {
      const Place p = element == Element::kTf32 ? tf32_b(lane, i) : half_b(lane, i);
      m.b[p.row][p.column] =
          value_of(static_cast<const std::uint32_t*>(o.b)[i / halves], i % halves, element);
    }
    for (int i = 0; i < 4; ++i) {
      const Place p = accumulator(lane, i);
      m.c[p.row][p.column] = static_cast<const float*>(o.c)[i];
    }
  }
}

void multiply_all(Warp& w, int depth, Element element) {
  Operands m;
  gather(w, depth, element, m);
  const bool truncating = device_state->truncating;
  for (int i = 0; i < 16; ++i) {
    for (int k = 0; k < depth; ++k) {
      for (int j = 0; j < 8; ++j) {
        const double sum = m.c[i][j] + m.a[i][k] * m.b[k][j];
        m.c[i][j] = truncating ? truncated(sum) : sum;
      }
    }
  }
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < 4; ++i) {
      const Place p = accumulator(lane, i);
      static_cast<float*>(w.offers[lane].c)[i] = static_cast<float>(m.c[p.row][p.column]);
    }
  }
}

void load_all(Warp& w, int matrices, bool transposed, Code code) {
  for (int matrix = 0; matrix < matrices; ++matrix) {
    std::uint16_t values[8][8];
    for (int row = 0; row < 8; ++row) {
      const int lane = matrix * 8 + row;
      check_access(&w.threads[lane], w.offers[lane].a, 16, Kind::kLoad, true, code);
      std::memcpy(values[row], w.offers[lane].a, 16);
    }
    for (int lane = 0; lane < 32; ++lane) {
      std::uint32_t word = 0;
      for (int half = 0; half < 2; ++half) {
        const Place p = matrix_element(lane, half, transposed);
        word |= static_cast<std::uint32_t>(values[p.row][p.column]) << (16 * half);
      }
      static_cast<std::uint32_t*>(w.offers[lane].c)[matrix] = word;
    }
  }
}

void expect_whole_warp(Site site) {
  if (current_thread->warp->present == ~0u) return;
  find(finding_of(current_thread, "absent lane", "a matrix instruction in a warp of fewer than 32",
                  site));
  abort_launch();
}

}  // namespace

void multiply(float* c, const std::uint32_t* a, const std::uint32_t* b, int depth, Element element,
              Site site) {
  expect_whole_warp(site);
  Offer& o = current_thread->warp->offers[current_thread->lane];
  o.a = a;
  o.b = b;
  o.c = c;
  meet_warp(Meeting::kMultiply, site, [=](Warp& w) { multiply_all(w, depth, element); });
}

void load_matrix(std::uint32_t* r, int matrices, bool transposed, const void* row, Site site) {
  const void* code = __builtin_return_address(0);
  expect_whole_warp(site);
  if (current_thread->lane < matrices * 8) expect_space(row, true, "ldmatrix", code);
  Offer& o = current_thread->warp->offers[current_thread->lane];
  o.a = row;
  o.c = r;
  meet_warp(Meeting::kLoadMatrix, site,
            [=](Warp& w) { load_all(w, matrices, transposed, code_of(code)); });
}

}  // namespace gtrain::simt

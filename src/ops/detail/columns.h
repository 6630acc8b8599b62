// The columns of a row in blocks of four vectors, of one, and a last part of one: kernels keep the
// sums of a block in registers while they walk over rows. Only src/ops/cpu includes this.
#pragma once

#include <cstdint>

#include "ops/detail/simd.h"

namespace gtrain::ops::GTRAIN_CPU {

template <class S>
using Wide = Vec<detail::Compute<S>>;

// Zeros beyond `count`.
template <class S>
inline Wide<S> load_part(const S* p, int count) {
  using T = detail::Compute<S>;
  S buffer[Simd<T>::kLanes] = {};
  std::memcpy(buffer, p, sizeof(S) * static_cast<std::size_t>(count));
  return load(buffer);
}
template <class S>
inline void store_part(S* p, Wide<S> x, int count) {
  using T = detail::Compute<S>;
  S buffer[Simd<T>::kLanes];
  store(buffer, x);
  std::memcpy(p, buffer, sizeof(S) * static_cast<std::size_t>(count));
}
#ifdef __AVX512F__
inline Vec<float> load_part(const float* p, int count) {
  return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1), p);
}
inline void store_part(float* p, Vec<float> x, int count) {
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << count) - 1), x);
}
inline Vec<double> load_part(const double* p, int count) {
  return _mm512_maskz_loadu_pd(static_cast<__mmask8>((1u << count) - 1), p);
}
inline void store_part(double* p, Vec<double> x, int count) {
  _mm512_mask_storeu_pd(p, static_cast<__mmask8>((1u << count) - 1), x);
}
inline Vec<float> load_part(const detail::Bf16* p, int count) { return load_some(p, count); }
inline void store_part(detail::Bf16* p, Vec<float> x, int count) { store_some(p, x, count); }
inline Vec<float> load_part(const detail::Half* p, int count) { return load_some(p, count); }
inline void store_part(detail::Half* p, Vec<float> x, int count) { store_some(p, x, count); }
#endif

template <int V, bool kPart, class T>
struct Columns {
  static constexpr int kVectors = V;
  std::int64_t first;
  int count;  // of the part

  // Vector u of this block of the row that starts at `row`, stored as S or as T.
  template <class S>
  Vec<T> load(const S* row, int u) const {
    const S* p = row + first + u * Simd<T>::kLanes;
    if constexpr (kPart) return load_part(p, count);
    return GTRAIN_CPU::load(p);
  }
  template <class S>
  void store(S* row, int u, Vec<T> x) const {
    S* p = row + first + u * Simd<T>::kLanes;
    if constexpr (kPart) {
      store_part(p, x, count);
    } else {
      GTRAIN_CPU::store(p, x);
    }
  }
  // x with zeros in the lanes beyond the part.
  Vec<T> clear(Vec<T> x) const {
    if constexpr (kPart) {
      for (int l = 0; l < Simd<T>::kLanes; ++l) x[l] = l < count ? x[l] : T{0};
    }
    return x;
  }
};

// body(columns) for the blocks of d columns, computed in T.
template <class T, class Body>
inline void for_columns(std::int64_t d, const Body& body) {
  constexpr std::int64_t w = Simd<T>::kLanes;
  std::int64_t c = 0;
  for (; c + 4 * w <= d; c += 4 * w) body(Columns<4, false, T>{c, 0});
  for (; c + w <= d; c += w) body(Columns<1, false, T>{c, 0});
  if (c < d) body(Columns<1, true, T>{c, static_cast<int>(d - c)});
}

}  // namespace gtrain::ops::GTRAIN_CPU

// One block of kTile queries of one head: its dropout streams and its bias.
#pragma once

#include <cmath>
#include <cstdint>

#include "ops/cpu/varlen_rows.h"
#include "ops/cpu/varlen_tile.h"
#include "ops/detail/random.h"
#include "ops/detail/varlen_kernels.h"

namespace gtrain::ops::GTRAIN_CPU::varlen {

using detail::VarlenGraph;

constexpr double kLog2e = 1.44269504088896340736;

// The keys of the queries' dropout streams, side by side.
template <class T>
struct Streams {
  static_assert(kTile<T> <= 32);
  std::uint32_t low[32], high[32];

  Streams(const VarlenGraph<T>& g, Index head, Index first, Index count) {
    if (g.threshold == 0) return;
    std::uint64_t row[32] = {};
    for (Index i = 0; i < count; ++i) {
      row[i] = detail::row_key(
          g.key, static_cast<std::uint64_t>((g.first_row + first + i) * g.heads + head));
    }
    for (Index i = 0; i < kTile<T>; ++i) {
      low[i] = static_cast<std::uint32_t>(row[i]);
      high[i] = static_cast<std::uint32_t>(row[i] >> 32);
    }
  }

  // Lanes of vector v that keep `column`: detail::draw with a stream per lane.
  typename Simd<T>::I kept(int v, Index column, std::uint32_t threshold) const {
    using U = typename Simd<T>::U;
    U l, h;
    std::memcpy(&l, low + v * Simd<T>::kLanes, sizeof(l));
    std::memcpy(&h, high + v * Simd<T>::kLanes, sizeof(h));
    U x = l ^ (static_cast<std::uint32_t>(column) * 0x9e3779b9u);
    x = (x ^ (x >> 16)) * 0x21f0aaadu + h;
    x = (x ^ (x >> 15)) * 0xd35a2d97u;
    x ^= x >> 15;
    return __builtin_convertvector(x >= (U{} + threshold), typename Simd<T>::I);
  }
};

typedef std::uint8_t Bytes __attribute__((vector_size(16)));
typedef std::uint8_t BytesUnaligned __attribute__((vector_size(16), aligned(1), may_alias));

// table[hop] of a vector of hops. The table holds 256 entries.
template <class T>
inline Vec<T> look_up(const T* table, Index, const std::uint8_t* hops) {
  T values[Simd<T>::kLanes];
  for (int l = 0; l < Simd<T>::kLanes; ++l) values[l] = table[hops[l]];
  return load(values);
}

#ifdef __AVX512F__
template <>
inline Vec<float> look_up(const float* table, Index buckets, const std::uint8_t* hops) {
  using I = Simd<float>::I;
  const I hop = __builtin_convertvector(*reinterpret_cast<const BytesUnaligned*>(hops), I);
  if (buckets > 64) return _mm512_mask_i32gather_ps(Vec<float>{}, 0xffff, (__m512i)hop, table, 4);
  const Vec<float> first = __builtin_shuffle(load(table), load(table + 16), hop);  // hop mod 32
  if (buckets <= 32) return first;
  return (hop & 32) == 0 ? first : __builtin_shuffle(load(table + 32), load(table + 48), hop);
}
#endif

// hops [n, n], rows first .. first + count -> columns [n, kTile]; columns beyond count repeat the
// last row.
inline void transpose_bytes(Bytes (&x)[16]) {
  constexpr Bytes kLow = {0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23};
  constexpr Bytes kHigh = {8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  for (int stage = 0; stage < 4; ++stage) {
    Bytes y[16];
    for (int r = 0; r < 8; ++r) {
      y[2 * r] = __builtin_shuffle(x[r], x[r + 8], kLow);
      y[2 * r + 1] = __builtin_shuffle(x[r], x[r + 8], kHigh);
    }
    for (int r = 0; r < 16; ++r) x[r] = y[r];
  }
}

inline void hop_columns(const std::uint8_t* hops, Index n, Index first, Index count, Index tile,
                        std::uint8_t* columns) {
  for (Index i = 0; i < tile; i += 16) {
    const Index lanes = std::min<Index>(16, tile - i);
    const auto row = [&](Index r) { return hops + (first + std::min(i + r, count - 1)) * n; };
    if (n < 16 || lanes < 16) {
      for (Index r = 0; r < lanes; ++r) {
        for (Index j = 0; j < n; ++j) columns[j * tile + i + r] = row(r)[j];
      }
      continue;
    }
    for (Index next = 0; next < n; next += 16) {
      const Index j = std::min(next, n - 16);
      Bytes x[16];
      for (Index r = 0; r < 16; ++r) x[r] = *reinterpret_cast<const BytesUnaligned*>(row(r) + j);
      transpose_bytes(x);
      for (Index r = 0; r < 16; ++r) {
        *reinterpret_cast<BytesUnaligned*>(columns + (j + r) * tile + i) = x[r];
      }
    }
  }
}

// The bias of one head in units of log2, and its gradient.
template <class T>
class HeadBias {
 public:
  static Index size(const VarlenGraph<T>& g) {  // of its scratch, in T
    const auto& b = g.bias;
    return (b.hops != nullptr ? kTableSize * (1 + Simd<T>::kLanes) + column_size(g) : 0) +
           (b.pair != nullptr ? kKeys * kTile<T> : 0);
  }

  HeadBias(const VarlenGraph<T>& g, Index head, Scratch<T>& memory) : g_(g), bias_(g.bias) {
    if (bias_.hops != nullptr) {
      table_ = memory.take(kTableSize);
      sums_ = memory.take(kTableSize * Simd<T>::kLanes);
      columns_ = reinterpret_cast<std::uint8_t*>(memory.take(column_size(g)));
      const T* table = bias_.table + head * bias_.buckets;
      for (Index b = 0; b < bias_.buckets; ++b) table_[b] = table[b] * static_cast<T>(kLog2e);
      if (bias_.dtable != nullptr) {
        std::fill_n(sums_, bias_.buckets * Simd<T>::kLanes, T{0});
        dtable_ = bias_.dtable + head * bias_.buckets;
      }
    }
    if (bias_.pair == nullptr) return;
    part_ = memory.take(kKeys * kTile<T>);
    pair_ = bias_.pair + head * bias_.pair_plane;
    if (bias_.dpair != nullptr) dpair_ = bias_.dpair + head * bias_.pair_plane;
  }

  void start(Index first, Index count) {
    first_ = first;
    count_ = count;
    if (columns_ != nullptr) hop_columns(bias_.hops, g_.n, first, count, kTile<T>, columns_);
  }

  // s [keys, kTile] += bias of keys from `key` on.
  template <int V>
  void add(Index key, Index keys, T* s) {
    constexpr Index w = Simd<T>::kLanes;
    if (columns_ != nullptr) {
      for (Index j = 0; j < keys; ++j) {
        for (int v = 0; v < V; ++v) {
          const Index at = j * kTile<T> + v * w;
          store<T>(s + at, load(s + at) +
                               look_up<T>(table_, bias_.buckets, columns_ + key * kTile<T> + at));
        }
      }
    }
    if (pair_ == nullptr) return;
    rows_to_columns(pair_ + first_ * g_.n + key, g_.n, count_, keys, static_cast<T>(kLog2e), part_);
    for (Index j = 0; j < keys; ++j) {
      for (int v = 0; v < V; ++v) {
        const Index at = j * kTile<T> + v * w;
        store<T>(s + at, load(s + at) + load(part_ + at));
      }
    }
  }

  // The gradients from ds [keys, kTile]. Sums run per lane: neighbours never wait for each other.
  void take_gradient(Index key, Index keys, const T* ds) {
    constexpr Index w = Simd<T>::kLanes;
    if (dtable_ != nullptr) {
      for (Index j = 0; j < keys; ++j) {
        const std::uint8_t* hop = columns_ + (key + j) * kTile<T>;
        for (Index i = 0; i < count_; ++i) sums_[hop[i] * w + i % w] += ds[j * kTile<T> + i];
      }
    }
    if (dpair_ != nullptr) {
      columns_to_rows(ds, count_, keys, T{1}, dpair_ + first_ * g_.n + key, g_.n);
    }
  }

  void finish() {
    if (dtable_ == nullptr) return;
    for (Index b = 0; b < bias_.buckets; ++b) {
      dtable_[b] += sum_pairs<T>(load(sums_ + b * Simd<T>::kLanes));
    }
  }

 private:
  static constexpr Index kTableSize = 256;
  // Bytes as T, and 16 more for the last look-up.
  static Index column_size(const VarlenGraph<T>& g) {
    return (g.n * kTile<T> + 16) / static_cast<Index>(sizeof(T)) + 1;
  }
  const VarlenGraph<T>& g_;
  const detail::VarlenBias<T>& bias_;
  T *table_ = nullptr, *sums_ = nullptr, *dtable_ = nullptr;
  std::uint8_t* columns_ = nullptr;
  T* part_ = nullptr;
  const T* pair_ = nullptr;
  T* dpair_ = nullptr;
  Index first_ = 0, count_ = 0;
};

}  // namespace gtrain::ops::GTRAIN_CPU::varlen

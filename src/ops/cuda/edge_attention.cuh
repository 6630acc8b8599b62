// What forward and backward of attention with edge features share: the loads of edge rows and the
// weight of a pair.
#pragma once

#include "ops/cuda/edge_attention.h"
#include "ops/cuda/pair_attention.cuh"

namespace gtrain::ops::cuda {

// Entries a group loads before it uses them, as registers allow.
template <class S, class T>
constexpr int kAhead = sizeof(compute_t<S>) * T::V* T::R > 16 ? 1 : 2;

template <class S, class T>
using Row = LaneRow<S, T::V, T::R>;

template <class A>
struct Weight {
  A value;      // exp of the clamped score
  bool inside;  // the score was not clamped
};

// From the sum of the products of this lane's channels.
template <class S>
__device__ __forceinline__ Weight<compute_t<S>> weight_of(const EdgeAttention<S>& a,
                                                          const Lane& lane, compute_t<S> sum) {
  using A = compute_t<S>;
  const A score = sum_head(sum, lane), limit = a.clamp;
  const A clamped = score < -limit ? -limit : score > limit ? limit : score;
  return {exp2_of(clamped * static_cast<A>(kLog2E)), !(score < -limit || score > limit)};
}

// Row p of edge features; ones where there are none.
template <class S, class T>
__device__ __forceinline__ void load_edge(const EdgeAttention<S>& a, const Lane& lane,
                                          std::int64_t p, bool present, Row<S, T>& edge) {
  if (a.edge != nullptr) {
    edge.load(a.edge + (p * a.heads + lane.head) * a.width, lane, present);
  } else {
    edge.fill(from_float<S>(1));
  }
}

// Whether 16-byte loads and stores reach all rows.
template <class S>
bool takes_packs(const EdgeAttention<S>& a) {
  return nodes_take_packs(a) && whole_packs(a.edge) && whole_packs(a.w);
}

}  // namespace gtrain::ops::cuda

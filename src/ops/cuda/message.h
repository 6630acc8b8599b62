// Launchers of message passing over the edges of a packed batch (include/gtrain/ops/message.h has
// the equations). A warp works on one item of a work list over targets (or over sources, through
// the transpose): 16 bytes of channels a lane, several edges side by side; every output has one
// writer and rows in several items are merged in ascending order, so there are no atomics.
//
// All pointers are device pointers; matrices have no gaps. S is float, double, bf16 or f16; A =
// compute_t<S> accumulates: double for double, else float. 16-byte loads are used where every base
// and D · sizeof(S) is a multiple of 16 bytes, else single elements. No rows or no edges launch
// what is left, or nothing.
#pragma once

#include <cstdint>

#include "ops/cuda/element.h"
#include "ops/cuda/work.h"

namespace gtrain::ops::cuda {

// Edges sorted by (target, source), as EdgeIndex. `in` runs over in_start, `out` over out_start;
// partial: A [parts, sums D], with the number of sums at each launcher.
struct MessageEdges {
  const std::int64_t* source = nullptr;    // [E]
  const std::int64_t* target = nullptr;    // [E]
  const std::int64_t* out_edge = nullptr;  // [E]
  std::int64_t count = 0;                  // E
  Work in, out;
};

template <class S>
struct Gine {
  MessageEdges edges;
  int width = 1;                          // D
  const S *x = nullptr, *edge = nullptr;  // [N, D], [E, D]
  S* out = nullptr;                       // [N, D]
  const S* dout = nullptr;                // [N, D]: backward
  S *dx = nullptr, *dedge = nullptr;      // [N, D], [E, D]
};
// 1 sum over targets.
template <class S>
void gine_forward(const Gine<S>& a, Stream stream);
// 1 sum over sources.
template <class S>
void gine_backward(const Gine<S>& a, Stream stream);

template <class S>
struct GatedGcn {
  using A = compute_t<S>;
  MessageEdges edges;
  int width = 1;                               // D
  const S *abde = nullptr, *c = nullptr;       // [N, 4D] = A | B | D | E; [E, D]
  S *h = nullptr, *ehat = nullptr;             // [N, D], [E, D]: outputs, read by backward
  A *denominator = nullptr, *mean = nullptr;   // [N, D]: kept for backward
  const S *dh = nullptr, *dehat_in = nullptr;  // [N, D], [E, D] or null: 0
  S *dabde = nullptr, *dc = nullptr;           // [N, 4D], [E, D] (the gradient of ê, too)
};
// 2 sums over targets. Gates are those of ê as stored.
template <class S>
void gated_gcn_forward(const GatedGcn<S>& a, Stream stream);
// 1 sum over targets, 2 over sources.
template <class S>
void gated_gcn_backward(const GatedGcn<S>& a, Stream stream);

// out_i = self_i x_i + sum of weight x over the edges of i, 1 sum. Forward: work over targets,
// other = source, edge null (entries are edges). Backward, x and out being gradients: work over
// sources, other = target, edge = out_edge.
template <class S>
struct WeightedAggregate {
  Work work;
  const std::int64_t* other = nullptr;  // [E], by edge
  const std::int64_t* edge = nullptr;   // [E], or null: entry k is edge k
  int width = 1;                        // D
  const S* x = nullptr;                 // [N, D]
  const S* self = nullptr;              // [N], or null: 0
  const S* weight = nullptr;            // [E]
  S* out = nullptr;                     // [N, D]
};
template <class S>
void weighted_aggregate(const WeightedAggregate<S>& a, Stream stream);

}  // namespace gtrain::ops::cuda

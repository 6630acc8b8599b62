// Message-passing kernels over rows [begin, end) of targets or sources. S is the storage type, T
// what is computed in.
#pragma once

#include <cstdint>

#include "ops/detail/storage.h"

namespace gtrain::ops::detail {

struct EdgeView {
  const std::int64_t *source, *target, *in_start, *out_start, *out_edge;
};

// abde [N, 4d] = A | B | D | E, c [E, d]; the rest are results: h [N, d], ehat and sigma [E, d],
// denominator and aggregate [N, d].
template <class S>
struct GatedForward {
  const S *abde, *c;
  S *h, *ehat, *sigma;
  Compute<S>*denominator, *aggregate;
};

// dehat_in (may be null) is what reached ehat from above; dehat and dabde are results.
template <class S>
struct GatedBackward {
  const S *abde, *sigma;
  const Compute<S>*denominator, *aggregate;
  const S *dh, *dehat_in;
  S *dehat, *dabde;
};

// out_i = self_i x_i + sum_{k} w_k x_other(k) over k = edge_slot (null: slot), slot in [start_i,
// start_i+1)
template <class S>
struct WeightedSum {
  const S *x, *self, *weight;
  const std::int64_t *start, *other, *edge;
  S* out;
};

template <class S>
struct MessageKernels {
  using Index = std::int64_t;
  // out_i = x_i + sum_{j->i} relu(x_j + e_ji)
  void (*gine_forward)(Index begin, Index end, Index d, const S* x, const S* e, EdgeView edges,
                       S* out);
  // de_ji = g_i [x_j + e_ji > 0], rows = targets
  void (*gine_backward_edges)(Index begin, Index end, Index d, const S* x, const S* e, const S* g,
                              EdgeView edges, S* de);
  // dx_j = g_j + sum_{j->i} de_ji, rows = sources
  void (*gine_backward_nodes)(Index begin, Index end, Index d, const S* g, const S* de,
                              EdgeView edges, S* dx);
  // ehat = D_i + E_j + C_ji; s = sigmoid(ehat); h_i = A_i + sum s B_j / (sum s + eps)
  void (*gated_forward)(Index begin, Index end, Index d, const GatedForward<S>& a, EdgeView edges);
  // Over targets: dehat, and dA and dD into dabde.
  void (*gated_backward_targets)(Index begin, Index end, Index d, const GatedBackward<S>& a,
                                 EdgeView edges);
  // Over sources: dB and dE into dabde.
  void (*gated_backward_sources)(Index begin, Index end, Index d, const GatedBackward<S>& a,
                                 EdgeView edges);
  void (*weighted_sum)(Index begin, Index end, Index d, const WeightedSum<S>& a);
};

}  // namespace gtrain::ops::detail

// Electrostatic encoding (ElstaticSE of Rampasek et al. 2022): with L⁺ the pseudo-inverse of the
// Laplacian D - W of the undirected graph, E_ij = L⁺_ij - L⁺_jj is the potential at i of a charge
// at j, against that at j. Ten numbers per node v:
//
//   0-3   min, max, mean, standard deviation over i of E_iv
//   4-7   min, max, mean, standard deviation over j of E_vj
//   8     sum_i (W_iv / d_i) E_iv        9   sum_j (W_vj / d_v) E_vj
//
// Unbiased deviations; 0 for a single node, and where a degree is 0. The reference inverts what
// fp32 leaves of the eigenvalue 0 as well (its cut-off is 1e-15): its own numbers are noise of the
// size of E and cannot be compared. Columns 1 and 5 are 0 but for rounding (no potential is above
// that at the charge), and kept for the shape.
// Cost: all eigenpairs, O(n³) and 32 n² bytes.
#pragma once

#include <cstdint>
#include <span>

#include "gtrain/encode/local_graph.h"

namespace gtrain::encode {

inline constexpr std::int64_t kElectrostaticColumns = 10;

// out: row-major [n, 10].
void electrostatic(const LocalGraph& graph, std::span<double> out);

}  // namespace gtrain::encode

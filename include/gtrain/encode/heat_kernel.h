// Diagonal of the heat kernel without its constant part (HKdiagSE of Rampasek et al. 2022): with
// eigenpairs (lambda_k, phi_k) of the Laplacian D - W of the undirected graph,
//
//   out[i, t] = sum_{k: lambda_k >= 1e-8} exp(-t lambda_k) phi_k(i)²
//
// for each of the given times t. Cost: all eigenpairs, O(n³) and 16 n² bytes.
#pragma once

#include <span>

#include "gtrain/encode/local_graph.h"

namespace gtrain::encode {

// out: row-major [n, times.size()].
void heat_kernel(const LocalGraph& graph, std::span<const double> times, std::span<double> out);

}  // namespace gtrain::encode

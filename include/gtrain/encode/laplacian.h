// Eigenpairs of the graph Laplacian (LapPE, Dwivedi & Bresson 2020), as a workspace that a loop
// over graphs reuses. With W the weights of the undirected graph without self loops and D its
// degrees,
//
//   none: D - W        sym: I - D^-1/2 W D^-1/2 with 0^-1/2 = 0 (an isolated node has eigenvalue 1)
//
// W counts repeated edges when every edge has its reverse as often; else it is the symmetrised
// graph with weights 1. Values are clamped at 0 from below; vectors are canonical (canonical.h).
//
// Cost: a dense O(n³) solve for small graphs, a sparse one (spectrum.h) above kSmallNodes nodes
// where few pairs of nodes are joined and above kDenseNodes always. Measured, 10 pairs: a peptide
// of 150 nodes takes 7 ms dense and 1 ms sparse; an SBM graph of 118 nodes, 30 % joined, 1.9
// and 3.5.
#pragma once

#include <Eigen/Core>
#include <Eigen/SparseCore>
#include <cstdint>

#include "gtrain/encode/encoding.h"
#include "gtrain/encode/local_graph.h"
#include "gtrain/encode/spectrum.h"

namespace gtrain::encode {

class LaplacianSolver {
 public:
  static constexpr std::int32_t kSmallNodes = 110;
  static constexpr std::int32_t kDenseNodes = 1500;

  // The min(n, count) smallest pairs, valid until the next call.
  const Spectrum& solve(const LocalGraph& graph, const LaplacianOptions& options);

 private:
  void assemble(const LocalGraph& graph, bool symmetric_normalised);

  Eigen::MatrixXd matrix_;
  DenseSpectrum dense_;
  Spectrum spectrum_;
};

// The matrix above, for graphs too large for a dense one.
Eigen::SparseMatrix<double> sparse_laplacian(const LocalGraph& graph, bool symmetric_normalised);

}  // namespace gtrain::encode

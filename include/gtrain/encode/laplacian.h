// Eigenpairs of the graph Laplacian (LapPE, Dwivedi & Bresson 2020), as a workspace that a loop
// over graphs reuses. With W the weights of the undirected graph without self loops and D its
// degrees,
//
//   none: D - W        sym: I - D^-1/2 W D^-1/2 with 0^-1/2 = 0 (an isolated node has eigenvalue 1)
//   rw:   I - D^-1 W with 0^-1 = 0: the values of sym, and D^-1/2 times its vectors
//
// W counts repeated edges when every edge has its reverse as often; else it is the symmetrised
// graph with weights 1. Values are clamped at 0 from below; vectors are canonical (canonical.h) in
// the symmetric form, then scaled (vector_norm.h). The first `skip` pairs are left out.
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

// kRandomWalkLower: the symmetric matrix whose lower triangle is that of rw, which is what a solver
// for symmetric matrices makes of it (quirk rw_lower_triangle).
enum class Normalization { kNone, kSymmetric, kRandomWalkLower };

// Values below count as the eigenvalue 0.
inline constexpr double kZeroEigenvalue = 1e-8;

class LaplacianSolver {
 public:
  static constexpr std::int32_t kSmallNodes = 110;
  static constexpr std::int32_t kDenseNodes = 1500;

  // Pairs skip … skip + count - 1, as many as there are, valid until the next call.
  const Spectrum& solve(const LocalGraph& graph, const LaplacianOptions& options);

 private:
  Eigen::MatrixXd matrix_;
  DenseSpectrum dense_;
  Spectrum spectrum_;
};

// All pairs of D - W by a dense solve, bases arbitrary.
Spectrum whole_spectrum(const LocalGraph& graph);

// The matrix above; returns the degrees [n]. The sparse one is for graphs too large for a dense one
// and never kRandomWalkLower's.
Eigen::VectorXd dense_laplacian(const LocalGraph& graph, Normalization normalization,
                                Eigen::MatrixXd& matrix);
Eigen::SparseMatrix<double> sparse_laplacian(const LocalGraph& graph, bool symmetric_normalised);

}  // namespace gtrain::encode

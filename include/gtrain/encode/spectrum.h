// The smallest eigenpairs of a symmetric positive semi-definite matrix in fp64, with the cluster
// that contains the last wanted one solved whole. Bases are arbitrary: see canonical.h.
//
//   DenseSpectrum   Householder reduction, the wanted vectors of the tridiagonal matrix
//                   (tridiagonal.h), and the reduction applied to them: 4/3 n³ + O(n² m). Where
//                   that is not accurate, implicit QR with all vectors (Eigen). A reusable
//                   workspace.
//   sparse_spectrum Lanczos with restarts (Spectra; Lehoucq & Sorensen 1996), on (A + s I)^-1 where
//                   its Cholesky factor stays sparse, else on c I - A. A single Krylov sequence
//                   sees one copy of a repeated eigenvalue, so found pairs are locked and the rest
//                   is searched again until nothing at or below the last cluster is left. Memory:
//                   the factor and O(n count).
#pragma once

#include <Eigen/Core>
#include <Eigen/Eigenvalues>
#include <Eigen/SparseCore>

#include "gtrain/encode/tridiagonal.h"

namespace gtrain::encode {

struct Spectrum {
  Eigen::VectorXd values;   // ascending, at least min(count, n)
  Eigen::MatrixXd vectors;  // [n, values.size()], orthonormal columns
};

class DenseSpectrum {
 public:
  // Reads the lower triangle of `matrix`.
  void solve(const Eigen::Ref<const Eigen::MatrixXd>& matrix, Eigen::Index count, Spectrum& out);

 private:
  bool solve_part(const Eigen::Ref<const Eigen::MatrixXd>& matrix, Eigen::Index count,
                  Spectrum& out);

  Eigen::Tridiagonalization<Eigen::MatrixXd> reduction_;
  Eigen::VectorXd diagonal_, off_diagonal_;
  TridiagonalVectors part_;
  Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver_;
};

// Falls back to DenseSpectrum where the iteration does not converge or most pairs are wanted.
void sparse_spectrum(const Eigen::SparseMatrix<double>& matrix, Eigen::Index count, Spectrum& out);

}  // namespace gtrain::encode

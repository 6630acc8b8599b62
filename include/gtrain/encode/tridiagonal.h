// Some eigenpairs of a symmetric tridiagonal matrix T with diagonal d [n] and off-diagonal e [n-1].
// Where few vectors are wanted, this costs a third of a QR iteration that turns all of them along.
//
//   tridiagonal_values   root-free QL (Pal, Walker & Kahan; Parlett 1980, ch. 8): O(n²)
//   TridiagonalVectors   inverse iteration (T - λ I) x' = x with pivoted LU, neighbours within
//                        1e-3 |T| made orthogonal to each other: O(n m) plus O(n c²) per group
//
// Both say false where they did not reach full accuracy; the caller then takes another way.
#pragma once

#include <Eigen/Core>
#include <vector>

namespace gtrain::encode {

// All eigenvalues, ascending, into `values`.
bool tridiagonal_values(const Eigen::Ref<const Eigen::VectorXd>& diagonal,
                        const Eigen::Ref<const Eigen::VectorXd>& off_diagonal,
                        Eigen::VectorXd& values);

// A reusable workspace.
class TridiagonalVectors {
 public:
  // Orthonormal eigenvectors of the `count` smallest `values` (all of them given, ascending) into
  // `vectors` [n, count].
  bool solve(const Eigen::Ref<const Eigen::VectorXd>& diagonal,
             const Eigen::Ref<const Eigen::VectorXd>& off_diagonal, const Eigen::VectorXd& values,
             Eigen::Index count, Eigen::MatrixXd& vectors);

 private:
  // Row i of U in P (T - λ I) = L U: 1 / u_ii, u_i,i+1, u_i,i+2; and the step of L that made it.
  struct Row {
    double inverse, first, second, multiplier;
    bool swapped;
  };
  using Vector = Eigen::Ref<const Eigen::VectorXd>;

  void factor(const double* d, const double* e, Eigen::Index n, double shift, double tiny);
  void eliminate(double* x, Eigen::Index n) const;   // x <- L^-1 P x
  void substitute(double* x, Eigen::Index n) const;  // x <- U^-1 x
  // Turns the start in column k into the eigenvector of `value`, orthogonal to [group, k).
  bool iterate(const Vector& d, const Vector& e, double value, Eigen::Index group, Eigen::Index k,
               Eigen::MatrixXd& vectors, double tolerance) const;

  std::vector<Row> rows_;
  Eigen::VectorXd start_;
  Eigen::MatrixXd gram_;
};

}  // namespace gtrain::encode

#include "gtrain/encode/spectrum.h"

#include <Spectra/SymEigsSolver.h>
#include <fmt/format.h>

#include <Eigen/QR>
#include <Eigen/SparseCholesky>
#include <algorithm>
#include <cstdint>
#include <memory>
#include <stdexcept>

#include "gtrain/base/error.h"
#include "gtrain/encode/canonical.h"
#include "gtrain/graph/order.h"

namespace gtrain::encode {
namespace {

using Eigen::Index;
using Sparse = Eigen::SparseMatrix<double>;

constexpr Index kDenseLimit = 20000;             // a dense fallback above this would need > 3 GB
constexpr Index kQuicklyDense = 2500;            // a dense solve takes seconds: no long search
constexpr std::int64_t kFillLimit = 20'000'000;  // entries of a Cholesky factor that is worth it
constexpr double kShift = 1e-4;                  // relative to the largest row sum
constexpr int kRounds = 24;

double row_sum_bound(const Sparse& a) {
  double bound = 0.0;
  for (Index j = 0; j < a.outerSize(); ++j) {
    double sum = 0.0;
    for (Sparse::InnerIterator it(a, j); it; ++it) sum += std::abs(it.value());
    bound = std::max(bound, sum);
  }
  return bound;
}

// Entries within the envelope of the matrix in reverse Cuthill-McKee order: a bound on the fill of
// the factor in that order, found in O(nnz) where counting the fill itself costs the fill.
std::int64_t envelope(const Sparse& a) {
  graph::Csr pattern;
  pattern.start.assign(a.outerIndexPtr(), a.outerIndexPtr() + a.outerSize() + 1);
  pattern.source.assign(a.innerIndexPtr(), a.innerIndexPtr() + a.nonZeros());
  pattern.edge.assign(pattern.source.size(), 0);
  const std::vector<graph::Id> order = graph::reverse_cuthill_mckee(pattern);
  std::vector<graph::Id> position(order.size());
  for (std::size_t p = 0; p < order.size(); ++p) {
    position[static_cast<std::size_t>(order[p])] = static_cast<graph::Id>(p);
  }
  std::int64_t entries = 0;
  for (const graph::Id i : order) {
    const graph::Id own = position[static_cast<std::size_t>(i)];
    graph::Id first = own;
    for (const graph::Id j : pattern.row(i)) {
      first = std::min(first, position[static_cast<std::size_t>(j)]);
    }
    entries += own - first + 1;
  }
  return entries;
}

// y = Π f(A) Π x with Π = I - Q Q^T over the locked pairs and f decreasing, so the smallest
// eigenvalues of A that are still unknown are its largest.
class Deflated {
 public:
  using Scalar = double;

  explicit Deflated(const Sparse& a) : a_(a), bound_(row_sum_bound(a)) {
    if (envelope(a) > kFillLimit) return;
    Sparse shifted = a;
    const double shift = kShift * std::max(bound_, 1.0);
    for (Index j = 0; j < shifted.outerSize(); ++j) shifted.coeffRef(j, j) += shift;
    factor_ = std::make_unique<Eigen::SimplicialLDLT<Sparse>>(shifted);
    if (factor_->info() != Eigen::Success) factor_.reset();
  }

  void lock(const Eigen::MatrixXd& vectors) { locked_ = vectors; }
  Index rows() const { return a_.rows(); }
  Index cols() const { return a_.cols(); }

  void perform_op(const double* in, double* out) const {
    Eigen::VectorXd x = Eigen::Map<const Eigen::VectorXd>(in, rows());
    project(x);
    Eigen::VectorXd y;
    if (factor_) {
      y = factor_->solve(x);
    } else {
      y = 1.01 * bound_ * x - a_ * x;  // 1.01 keeps wanted values away from the locked zeros
    }
    project(y);
    Eigen::Map<Eigen::VectorXd>(out, rows()) = y;
  }

 private:
  void project(Eigen::VectorXd& x) const {
    if (locked_.cols() > 0) x -= locked_ * (locked_.transpose() * x);
  }

  const Sparse& a_;
  double bound_;
  std::unique_ptr<Eigen::SimplicialLDLT<Sparse>> factor_;
  Eigen::MatrixXd locked_;
};

// The best approximations of eigenpairs of `a` within the span of `basis`.
void rayleigh_ritz(const Sparse& a, const Eigen::MatrixXd& basis, Spectrum& out) {
  const Eigen::HouseholderQR<Eigen::MatrixXd> qr(basis);
  const Eigen::MatrixXd q =
      qr.householderQ() * Eigen::MatrixXd::Identity(basis.rows(), basis.cols());
  const Eigen::MatrixXd projected = q.transpose() * (a * q);
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(projected);
  out.values = solver.eigenvalues();
  out.vectors = q * solver.eigenvectors();
}

// One search beside the locked pairs; its eigenvectors [n, found].
Eigen::MatrixXd search(Deflated& op, Index want, Index room) {
  constexpr Index kRestarts = 1000;
  const Index krylov = std::min(room, std::max<Index>(4 * want, 60));
  if (want >= krylov) return {};
  Spectra::SymEigsSolver<Deflated> solver(op, want, krylov);
  try {
    solver.init();
    solver.compute(Spectra::SortRule::LargestAlge, kRestarts, 1e-13);
  } catch (const std::runtime_error&) {  // its small problem did not converge: a star's does not
    return {};
  }
  if (solver.info() != Spectra::CompInfo::Successful) return {};
  return solver.eigenvectors();
}

bool iterate(const Sparse& a, Index count, Spectrum& out) {
  const Index room = a.rows() <= kQuicklyDense ? a.rows() / 8 : a.rows();
  if (count + 1 > room) return false;
  Deflated op(a);
  Eigen::MatrixXd basis(a.rows(), 0);
  for (int round = 0; round < kRounds; ++round) {
    const Index want = round == 0 ? count + 1 : Index{1} << std::min(round, 10);
    const Eigen::MatrixXd found = search(op, want, a.rows() - basis.cols());
    if (found.cols() == 0) return false;
    const double lowest = (found.transpose() * (a * found)).diagonal().minCoeff();
    Eigen::MatrixXd both(a.rows(), basis.cols() + found.cols());
    both << basis, found;
    if (both.cols() > room) return false;
    rayleigh_ritz(a, both, out);
    basis = out.vectors;
    op.lock(basis);
    const Index end = cluster_end(out.values, count);
    const bool closed = end < out.values.size();
    if (round > 0 && closed && lowest > out.values[end - 1] + kClusterGap) return true;
  }
  return false;
}

bool accurate(const Sparse& a, const Spectrum& spectrum) {
  const Eigen::MatrixXd residual =
      a * spectrum.vectors - spectrum.vectors * spectrum.values.asDiagonal();
  return residual.colwise().norm().maxCoeff() < 1e-9 * std::max(1.0, row_sum_bound(a));
}

}  // namespace

bool DenseSpectrum::solve_part(const Eigen::Ref<const Eigen::MatrixXd>& matrix, Index count,
                               Spectrum& out) {
  if (matrix.rows() == 1) return false;
  reduction_.compute(matrix);
  diagonal_ = reduction_.diagonal();
  off_diagonal_ = reduction_.subDiagonal();
  if (!tridiagonal_values(diagonal_, off_diagonal_, out.values)) return false;
  const Index end = cluster_end(out.values, count);
  if (!part_.solve(diagonal_, off_diagonal_, out.values, end, out.vectors)) return false;
  out.values.conservativeResize(end);
  out.vectors.applyOnTheLeft(reduction_.matrixQ());
  return true;
}

void DenseSpectrum::solve(const Eigen::Ref<const Eigen::MatrixXd>& matrix, Index count,
                          Spectrum& out) {
  if (matrix.rows() == 0) {
    out.values.resize(0);
    out.vectors.resize(0, 0);
    return;
  }
  if (solve_part(matrix, count, out)) return;
  solver_.compute(matrix);
  const Index end = cluster_end(solver_.eigenvalues(), count);
  out.values = solver_.eigenvalues().head(end);
  out.vectors = solver_.eigenvectors().leftCols(end);
}

void sparse_spectrum(const Sparse& matrix, Index count, Spectrum& out) {
  const Index n = matrix.rows();
  if (4 * (count + 1) < n && iterate(matrix, count, out)) {
    const Index end = cluster_end(out.values, count);
    out.values.conservativeResize(end);
    out.vectors.conservativeResize(Eigen::NoChange, end);
    if (accurate(matrix, out)) return;
  }
  if (n > kDenseLimit) {
    throw base::ResourceError(fmt::format(
        "laplacian: the {} smallest eigenpairs of a graph with {} nodes did not converge; expected "
        "fewer eigenvectors (count) or at most {} nodes for a dense solve",
        count, n, kDenseLimit));
  }
  DenseSpectrum().solve(Eigen::MatrixXd(matrix), count, out);
}

}  // namespace gtrain::encode

#include "gtrain/encode/laplacian.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "gtrain/encode/canonical.h"

namespace gtrain::encode {
namespace {

using Eigen::Index;
using Sparse = Eigen::SparseMatrix<double>;

bool prefers_dense(const LocalGraph& graph) {
  const std::int64_t n = graph.nodes();
  return n <= LaplacianSolver::kSmallNodes ||
         (n <= LaplacianSolver::kDenseNodes && 8 * graph.edges() > n * n);
}

double inverse_root(double degree) { return degree > 0.0 ? 1.0 / std::sqrt(degree) : 0.0; }

Sparse undirected_weights(const LocalGraph& graph) {
  std::vector<Eigen::Triplet<double>> entries;
  entries.reserve(static_cast<std::size_t>(graph.edges()));
  for (std::int32_t i = 0; i < graph.nodes(); ++i) {
    for (const std::int32_t j : graph.row(i)) {
      if (i != j) entries.emplace_back(i, j, 1.0);
    }
  }
  Sparse w(graph.nodes(), graph.nodes());
  w.setFromTriplets(entries.begin(), entries.end());
  const Sparse reversed = w.transpose();
  if (Sparse(w - reversed).norm() == 0.0) return w;
  w += reversed;
  std::fill(w.valuePtr(), w.valuePtr() + w.nonZeros(), 1.0);
  return w;
}

}  // namespace

void LaplacianSolver::assemble(const LocalGraph& graph, bool symmetric_normalised) {
  const Index n = graph.nodes();
  matrix_.setZero(n, n);
  for (std::int32_t i = 0; i < n; ++i) {
    for (const std::int32_t j : graph.row(i)) matrix_(j, i) -= 1.0;
  }
  matrix_.diagonal().setZero();
  if (matrix_ != matrix_.transpose()) {
    const Eigen::MatrixXd both = -(matrix_ + matrix_.transpose()).cwiseAbs().cwiseMin(1.0);
    matrix_ = both;
  }
  const Eigen::VectorXd degree = -matrix_.colwise().sum();
  if (symmetric_normalised) {
    const Eigen::VectorXd scale = degree.unaryExpr(&inverse_root);
    matrix_.array() *= (scale * scale.transpose()).array();
    matrix_.diagonal().setOnes();
  } else {
    matrix_.diagonal() = degree;
  }
}

Sparse sparse_laplacian(const LocalGraph& graph, bool symmetric_normalised) {
  const Sparse w = undirected_weights(graph);
  const Eigen::VectorXd degree = w * Eigen::VectorXd::Ones(w.cols());
  Sparse diagonal(w.rows(), w.cols());
  diagonal.setIdentity();
  if (symmetric_normalised) {
    const Eigen::VectorXd scale = degree.unaryExpr(&inverse_root);
    return diagonal - Sparse(scale.asDiagonal() * w * scale.asDiagonal());
  }
  diagonal.diagonal() = degree;
  return diagonal - w;
}

const Spectrum& LaplacianSolver::solve(const LocalGraph& graph, const LaplacianOptions& options) {
  const bool normalised = options.normalization == "sym";
  const Index count = std::min<Index>(options.count, graph.nodes());
  if (prefers_dense(graph)) {
    assemble(graph, normalised);
    dense_.solve(matrix_, count, spectrum_);
  } else {
    sparse_spectrum(sparse_laplacian(graph, normalised), count, spectrum_);
  }
  canonicalise(spectrum_.values, spectrum_.vectors);
  spectrum_.values.conservativeResize(count);
  spectrum_.vectors.conservativeResize(Eigen::NoChange, count);
  spectrum_.values = spectrum_.values.cwiseMax(0.0);
  return spectrum_;
}

}  // namespace gtrain::encode

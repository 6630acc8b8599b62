#include "gtrain/encode/laplacian.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "gtrain/encode/canonical.h"
#include "gtrain/encode/vector_norm.h"

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

Eigen::VectorXd dense_laplacian(const LocalGraph& graph, Normalization normalization,
                                Eigen::MatrixXd& matrix) {
  const Index n = graph.nodes();
  matrix.setZero(n, n);
  for (std::int32_t i = 0; i < n; ++i) {
    for (const std::int32_t j : graph.row(i)) matrix(j, i) -= 1.0;
  }
  matrix.diagonal().setZero();
  if (matrix != matrix.transpose()) {
    const Eigen::MatrixXd both = -(matrix + matrix.transpose()).cwiseAbs().cwiseMin(1.0);
    matrix = both;
  }
  const Eigen::VectorXd degree = -matrix.colwise().sum();
  if (normalization == Normalization::kNone) {
    matrix.diagonal() = degree;
  } else if (normalization == Normalization::kSymmetric) {
    const Eigen::VectorXd scale = degree.unaryExpr(&inverse_root);
    matrix.array() *= (scale * scale.transpose()).array();
    matrix.diagonal().setOnes();
  } else {
    for (Index i = 0; i < n; ++i) {
      if (degree[i] > 0.0) matrix.row(i) /= degree[i];
    }
    matrix.triangularView<Eigen::StrictlyUpper>() =
        Eigen::MatrixXd(matrix.triangularView<Eigen::StrictlyLower>()).transpose();
    matrix.diagonal().setOnes();
  }
  return degree;
}

Spectrum whole_spectrum(const LocalGraph& graph) {
  Spectrum out;
  Eigen::MatrixXd matrix;
  dense_laplacian(graph, Normalization::kNone, matrix);
  DenseSpectrum().solve(matrix, graph.nodes(), out);
  return out;
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

namespace {

Normalization normalization_of(const LaplacianOptions& options) {
  if (options.normalization == "none") return Normalization::kNone;
  const bool lower = options.normalization == "rw" && !options.quirks.empty();
  return lower ? Normalization::kRandomWalkLower : Normalization::kSymmetric;
}

Eigen::VectorXd degrees_of(const LocalGraph& graph) {
  const Sparse w = undirected_weights(graph);
  return w * Eigen::VectorXd::Ones(w.cols());
}

// D^-1/2 u of unit length, for eigenvectors u of the symmetric form.
void to_random_walk(const Eigen::VectorXd& degrees, Eigen::MatrixXd& vectors) {
  const Eigen::VectorXd scale =
      degrees.unaryExpr([](double degree) { return degree > 0.0 ? 1.0 / std::sqrt(degree) : 1.0; });
  vectors = (scale.asDiagonal() * vectors).eval();
  for (Index k = 0; k < vectors.cols(); ++k) vectors.col(k).normalize();
}

}  // namespace

const Spectrum& LaplacianSolver::solve(const LocalGraph& graph, const LaplacianOptions& options) {
  const Normalization normalization = normalization_of(options);
  const Index skip = std::min<Index>(options.skip, graph.nodes());
  const Index count = std::min<Index>(options.count, graph.nodes() - skip);
  const bool walk = options.normalization == "rw" && normalization == Normalization::kSymmetric;
  Eigen::VectorXd degrees;
  if (prefers_dense(graph) || normalization == Normalization::kRandomWalkLower) {
    degrees = dense_laplacian(graph, normalization, matrix_);
    dense_.solve(matrix_, skip + count, spectrum_);
  } else {
    const bool normalised = normalization == Normalization::kSymmetric;
    sparse_spectrum(sparse_laplacian(graph, normalised), skip + count, spectrum_);
    if (walk) degrees = degrees_of(graph);
  }
  canonicalise(spectrum_.values, spectrum_.vectors);
  spectrum_.values = spectrum_.values.segment(skip, count).cwiseMax(0.0).eval();
  spectrum_.vectors = spectrum_.vectors.middleCols(skip, count).eval();
  if (walk) to_random_walk(degrees, spectrum_.vectors);
  if (options.vector_norm != "l2") {
    scale_vectors(options.vector_norm, spectrum_.values, spectrum_.vectors);
  }
  return spectrum_;
}

}  // namespace gtrain::encode

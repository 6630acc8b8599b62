#include "gtrain/encode/electrostatic.h"

#include <Eigen/Core>
#include <algorithm>
#include <array>
#include <cmath>

#include "gtrain/encode/laplacian.h"

namespace gtrain::encode {
namespace {

using Eigen::MatrixXd;
using Eigen::VectorXd;

MatrixXd pseudo_inverse(const Spectrum& pairs) {
  VectorXd inverse = pairs.values;
  for (double& value : inverse) value = value < kZeroEigenvalue ? 0.0 : 1.0 / value;
  return pairs.vectors * inverse.asDiagonal() * pairs.vectors.transpose();
}

std::array<double, 4> statistics(const VectorXd& v) {
  const double mean = v.mean();
  const auto n = static_cast<double>(v.size());
  const double squares = (v.array() - mean).square().sum();
  return {v.minCoeff(), v.maxCoeff(), mean, n > 1 ? std::sqrt(squares / (n - 1)) : 0.0};
}

}  // namespace

void electrostatic(const LocalGraph& graph, std::span<double> out) {
  const Eigen::Index n = graph.nodes();
  if (n == 0) return;
  MatrixXd laplacian;
  const VectorXd degree = dense_laplacian(graph, Normalization::kNone, laplacian);
  const MatrixXd inverse = pseudo_inverse(whole_spectrum(graph));
  const MatrixXd potential = inverse.rowwise() - inverse.diagonal().transpose();
  const VectorXd scale = degree.unaryExpr([](double d) { return d > 0.0 ? 1.0 / d : 0.0; });
  laplacian.diagonal().setZero();
  const MatrixXd near = -(scale.asDiagonal() * laplacian).cwiseProduct(potential);
  for (Eigen::Index v = 0; v < n; ++v) {
    double* row = out.data() + v * kElectrostaticColumns;
    const auto of = statistics(potential.col(v)), at = statistics(potential.row(v).transpose());
    std::copy(of.begin(), of.end(), row);
    std::copy(at.begin(), at.end(), row + 4);
    row[8] = near.col(v).sum();
    row[9] = near.row(v).sum();
  }
}

}  // namespace gtrain::encode

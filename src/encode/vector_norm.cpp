#include "gtrain/encode/vector_norm.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace gtrain::encode {
namespace {

constexpr double kTiny = 1e-12;

double soft_maximum(const Eigen::VectorXd& magnitude) {
  const Eigen::ArrayXd weight = (magnitude.array() - magnitude.maxCoeff()).exp();
  return (weight * magnitude.array()).sum() / weight.sum();
}

}  // namespace

void scale_vectors(const std::string& kind, const Eigen::VectorXd& values,
                   Eigen::MatrixXd& vectors) {
  if (vectors.rows() == 0) return;
  for (Eigen::Index k = 0; k < vectors.cols(); ++k) {
    auto v = vectors.col(k);
    const Eigen::VectorXd magnitude = v.cwiseAbs();
    const double largest = magnitude.maxCoeff();
    const double root = values[k] < kTiny ? 1.0 : std::sqrt(values[k]);
    double denominator = largest;
    if (kind == "l2") denominator = v.norm();
    if (kind == "l1") denominator = magnitude.sum();
    if (kind == "wavelength") denominator = largest * root * 2.0 / std::numbers::pi;
    if (kind == "wavelength_soft") denominator = soft_maximum(magnitude) * root;
    if (kind == "wavelength_asin") {
      v = (v / std::max(largest, kTiny)).array().asin().matrix().eval();
      denominator = root;
    }
    v /= std::max(denominator, kTiny);
  }
}

}  // namespace gtrain::encode

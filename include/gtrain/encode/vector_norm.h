// Scales of eigenvectors v with eigenvalue lambda, column by column (GraphGPS's eigenvector norms):
//
//   l2               v / |v|_2                        l1   v / |v|_1       abs_max   v / max|v|
//   wavelength       v pi / (2 max|v| sqrt(lambda))
//   wavelength_asin  arcsin(v / max|v|) / sqrt(lambda)
//   wavelength_soft  v / (sum_i softmax(|v|)_i |v_i| sqrt(lambda))
//
// An eigenvalue below 1e-12 counts as 1, a denominator below 1e-12 as that. Signs and the bases of
// repeated eigenvalues pass through: every scale but l2 depends on the basis.
#pragma once

#include <Eigen/Core>
#include <string>

namespace gtrain::encode {

// values [k], vectors [n, k]; `kind` is one of the names above.
void scale_vectors(const std::string& kind, const Eigen::VectorXd& values,
                   Eigen::MatrixXd& vectors);

}  // namespace gtrain::encode

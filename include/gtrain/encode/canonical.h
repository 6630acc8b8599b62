// One basis for every eigenspace. A solver returns eigenvectors up to sign, and any basis where
// eigenvalues repeat, so two solvers, thread counts or machines disagree. The rule here depends on
// the space alone. For each cluster of eigenvalues (neighbours closer than kClusterGap) with
// eigenvectors V and projector P = V V^T:
//
//   r = first index with P_rr >= (1 - 1e-6) max_i P_ii,   b = P[:,r] / sqrt(P_rr),   P -= b b^T
//
// and again until the cluster is used up. The b are orthonormal and b_r > 0. Not equivariant under
// renumbering the nodes of a symmetric graph: no rule can be.
#pragma once

#include <Eigen/Core>

namespace gtrain::encode {

inline constexpr double kClusterGap = 1e-8;

// Number of leading columns that closes the cluster in which column `count` - 1 lies; `values`
// ascending. At most values.size().
Eigen::Index cluster_end(const Eigen::Ref<const Eigen::VectorXd>& values, Eigen::Index count);

// Replaces the columns of `vectors` [n, m], orthonormal eigenvectors of the ascending `values` [m].
// The last cluster has to be whole. Cost: O(n c²) for a cluster of size c.
void canonicalise(const Eigen::Ref<const Eigen::VectorXd>& values,
                  Eigen::Ref<Eigen::MatrixXd> vectors);

}  // namespace gtrain::encode

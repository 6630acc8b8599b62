#include "gtrain/encode/canonical.h"

namespace gtrain::encode {
namespace {

constexpr double kTie = 1.0 - 1e-6;

// First index whose weight is within the tie of the largest.
template <class Weights>
Eigen::Index pivot(const Weights& weights) {
  const double least = kTie * weights.maxCoeff();
  Eigen::Index r = 0;
  while (weights[r] < least) ++r;
  return r;
}

// P stays factored as V V^T: with u = V[r,:] / |V[r,:]|, b = V u and P - b b^T = (V - b u^T)(…)^T.
void span_cluster(Eigen::Ref<Eigen::MatrixXd> cluster) {
  Eigen::MatrixXd rest = cluster;
  for (Eigen::Index c = 0; c < cluster.cols(); ++c) {
    const Eigen::VectorXd weights = rest.rowwise().squaredNorm();
    const Eigen::RowVectorXd u = rest.row(pivot(weights)).normalized();
    cluster.col(c).noalias() = rest * u.transpose();
    rest.noalias() -= cluster.col(c) * u;
  }
}

}  // namespace

Eigen::Index cluster_end(const Eigen::Ref<const Eigen::VectorXd>& values, Eigen::Index count) {
  Eigen::Index end = std::min(count, values.size());
  while (end > 0 && end < values.size() && values[end] - values[end - 1] < kClusterGap) ++end;
  return end;
}

void canonicalise(const Eigen::Ref<const Eigen::VectorXd>& values,
                  Eigen::Ref<Eigen::MatrixXd> vectors) {
  for (Eigen::Index begin = 0; begin < values.size();) {
    const Eigen::Index end = cluster_end(values, begin + 1);
    if (end - begin == 1) {
      auto v = vectors.col(begin);
      if (v[pivot(v.array().square())] < 0.0) v = -v;
    } else {
      span_cluster(vectors.middleCols(begin, end - begin));
    }
    begin = end;
  }
}

}  // namespace gtrain::encode

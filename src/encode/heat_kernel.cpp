#include "gtrain/encode/heat_kernel.h"

#include <Eigen/Core>
#include <cmath>

#include "gtrain/encode/laplacian.h"

namespace gtrain::encode {

void heat_kernel(const LocalGraph& graph, std::span<const double> times, std::span<double> out) {
  const Eigen::Index n = graph.nodes();
  const Spectrum pairs = whole_spectrum(graph);
  const Eigen::MatrixXd squared = pairs.vectors.cwiseAbs2();
  const auto count = static_cast<Eigen::Index>(times.size());
  Eigen::MatrixXd decay(n, count);
  for (Eigen::Index k = 0; k < n; ++k) {
    for (Eigen::Index t = 0; t < count; ++t) {
      const double value = pairs.values[k];
      decay(k, t) =
          value < kZeroEigenvalue ? 0.0 : std::exp(-times[static_cast<std::size_t>(t)] * value);
    }
  }
  using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  Eigen::Map<RowMajor>(out.data(), n, count) = squared * decay;
}

}  // namespace gtrain::encode

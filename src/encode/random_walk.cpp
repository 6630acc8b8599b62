#include "gtrain/encode/random_walk.h"

#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>

#include <Eigen/Core>
#include <algorithm>
#include <vector>

namespace gtrain::encode {
namespace {

constexpr std::int32_t kLanes = 8;  // sources that walk together
using Lanes = Eigen::Array<double, kLanes, 1>;

constexpr std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

struct Walk {
  const LocalGraph& graph;
  std::int64_t steps;
  const std::vector<double>& inverse_degree;
  std::span<double> out;

  // Walks of the sources [first, first + kLanes). here[i] holds, for each of them, the probability
  // to stand at i divided by the out-degree of i.
  void run(std::int32_t first, std::vector<Lanes>& here, std::vector<Lanes>& next) const {
    const std::int32_t n = graph.nodes();
    const std::int32_t lanes = std::min(kLanes, n - first);
    std::fill(here.begin(), here.end(), Lanes::Zero());
    for (std::int32_t s = 0; s < lanes; ++s) {
      here[at(first + s)][s] = inverse_degree[at(first + s)];
    }
    for (std::int64_t t = 0; t < steps; ++t) {
      for (std::int32_t i = 0; i < n; ++i) {
        Lanes sum = Lanes::Zero();
        for (const std::int32_t j : graph.row(i)) sum += here[at(j)];
        const std::int32_t own = i - first;
        if (own >= 0 && own < lanes) out[at(i * steps + t)] = sum[own];
        next[at(i)] = sum * inverse_degree[at(i)];
      }
      here.swap(next);
    }
  }
};

}  // namespace

void walk_returns(const LocalGraph& graph, std::int64_t steps, std::span<double> out) {
  const std::int32_t n = graph.nodes();
  std::vector<double> inverse_degree(at(n));
  const std::vector<std::int32_t> degree = graph.out_degrees();
  std::transform(degree.begin(), degree.end(), inverse_degree.begin(),
                 [](std::int32_t d) { return d == 0 ? 0.0 : 1.0 / d; });
  const Walk walk{graph, steps, inverse_degree, out};
  const std::int32_t blocks = (n + kLanes - 1) / kLanes;
  constexpr std::int32_t kBlocksPerTask = 16;
  tbb::parallel_for(tbb::blocked_range<std::int32_t>(0, blocks, kBlocksPerTask),
                    [&](const tbb::blocked_range<std::int32_t>& range) {
                      std::vector<Lanes> here(at(n));
                      std::vector<Lanes> next(at(n));
                      for (std::int32_t b = range.begin(); b != range.end(); ++b) {
                        walk.run(b * kLanes, here, next);
                      }
                    });
}

}  // namespace gtrain::encode

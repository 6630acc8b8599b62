#include "gtrain/encode/encoding.h"

#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>

#include <limits>

#include "gtrain/data/square.h"
#include "gtrain/encode/degree.h"
#include "gtrain/encode/laplacian.h"
#include "gtrain/encode/local_graph.h"
#include "gtrain/encode/random_walk.h"
#include "gtrain/graph/hop_distance.h"

namespace gtrain::encode {
namespace {

using data::Column;
using data::Dataset;
using data::Per;

constexpr std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

// Calls body(workspace, graph, id) for every graph. Workspaces live as long as a chunk of
// graphs: nested parallelism may hand a waiting thread another chunk, which must not share them.
template <class Workspace, class Body>
void each_graph(const Dataset& dataset, const Body& body) {
  constexpr std::int64_t kGraphsPerTask = 64;
  tbb::parallel_for(tbb::blocked_range<std::int64_t>(0, dataset.graphs(), kGraphsPerTask),
                    [&](const tbb::blocked_range<std::int64_t>& range) {
                      Workspace workspace{};
                      LocalGraph graph;
                      for (std::int64_t g = range.begin(); g != range.end(); ++g) {
                        graph.assign(dataset, g);
                        body(workspace, graph, g);
                      }
                    });
}

std::int64_t first_node(const Dataset& dataset, std::int64_t g) {
  return dataset.node_start.as<std::int64_t>()[g];
}

std::vector<Column> columns_of(const Dataset& dataset, const RandomWalkOptions& options) {
  auto out = data::make_column<float>("random_walk", Per::kNode, dataset.nodes(), options.steps);
  each_graph<std::vector<double>>(
      dataset, [&](std::vector<double>& returns, const LocalGraph& graph, std::int64_t g) {
        returns.resize(at(graph.nodes() * options.steps));
        walk_returns(graph, options.steps, returns);
        float* to = out.data + first_node(dataset, g) * options.steps;
        for (std::size_t i = 0; i < returns.size(); ++i) to[i] = static_cast<float>(returns[i]);
      });
  return {out.column};
}

std::vector<Column> columns_of(const Dataset& dataset, const LaplacianOptions& options) {
  const std::int64_t k = options.count;
  auto values = data::make_column<float>("laplacian.values", Per::kNode, dataset.nodes(), k);
  auto vectors = data::make_column<float>("laplacian.vectors", Per::kNode, dataset.nodes(), k);
  constexpr float kNone = std::numeric_limits<float>::quiet_NaN();
  each_graph<LaplacianSolver>(
      dataset, [&](LaplacianSolver& solver, const LocalGraph& graph, std::int64_t g) {
        const Spectrum& pairs = solver.solve(graph, options);
        for (std::int32_t i = 0; i < graph.nodes(); ++i) {
          const std::int64_t row = (first_node(dataset, g) + i) * k;
          for (std::int64_t c = 0; c < k; ++c) {
            const bool there = c < pairs.values.size();
            values.data[row + c] = there ? static_cast<float>(pairs.values[c]) : kNone;
            vectors.data[row + c] = there ? static_cast<float>(pairs.vectors(i, c)) : kNone;
          }
        }
      });
  return {values.column, vectors.column};
}

std::vector<Column> columns_of(const Dataset& dataset, const DegreeOptions&) {
  auto out = data::make_column<std::int32_t>("degree", Per::kNode, dataset.nodes(), 2);
  struct Nothing {};
  each_graph<Nothing>(dataset, [&](Nothing&, const LocalGraph& graph, std::int64_t g) {
    degrees(graph, {out.data + 2 * first_node(dataset, g), at(2 * graph.nodes())});
  });
  return {out.column};
}

std::vector<Column> columns_of(const Dataset& dataset, const HopDistanceOptions& options) {
  const std::vector<std::int64_t> start = data::square_starts(dataset);
  auto out = data::make_column<std::uint8_t>("hop_distance", Per::kPair, start.back(), 1);
  struct Nothing {};
  each_graph<Nothing>(dataset, [&](Nothing&, const LocalGraph& graph, std::int64_t g) {
    graph::hop_matrix(graph.csr(), static_cast<std::uint8_t>(options.max_distance),
                      {out.data + start[at(g)], at(start[at(g) + 1] - start[at(g)])});
  });
  return {out.column};
}

}  // namespace

void RandomWalkOptions::fields(base::FieldVisitor& f) {
  f({.key = "steps", .doc = "walk lengths 1..steps", .min = 1, .max = 256}, steps);
}

void LaplacianOptions::fields(base::FieldVisitor& f) {
  f({.key = "count", .doc = "eigenpairs, the trivial one included", .min = 1, .max = 1024}, count);
  f({.key = "normalization",
     .doc = "none: D - A; sym: I - D^-1/2 A D^-1/2",
     .one_of = {"none", "sym"}},
    normalization);
}

void DegreeOptions::fields(base::FieldVisitor&) {}

void HopDistanceOptions::fields(base::FieldVisitor& f) {
  f({.key = "max_distance", .doc = "longer distances count as this", .min = 1, .max = 254},
    max_distance);
}

std::string_view name_of(const EncodingOptions& options) {
  return std::visit([](const auto& o) { return std::decay_t<decltype(o)>::kName; }, options);
}

std::int64_t width_of(const EncodingOptions& options) {
  struct Width {
    std::int64_t operator()(const RandomWalkOptions& o) const { return o.steps; }
    std::int64_t operator()(const LaplacianOptions& o) const { return o.count; }
    std::int64_t operator()(const DegreeOptions&) const { return 2; }
    std::int64_t operator()(const HopDistanceOptions&) const { return 1; }
  };
  return std::visit(Width{}, options);
}

std::vector<double> random_walk(const graph::Csr& graph, std::int64_t steps) {
  std::vector<double> out(at(graph.nodes() * steps));
  walk_returns(LocalGraph(graph), steps, out);
  return out;
}

Eigenpairs laplacian(const graph::Csr& graph, const LaplacianOptions& options) {
  LaplacianSolver solver;
  const Spectrum& pairs = solver.solve(LocalGraph(graph), options);
  Eigenpairs out;
  out.values.assign(pairs.values.begin(), pairs.values.end());
  out.vectors.resize(static_cast<std::size_t>(pairs.vectors.size()));
  Eigen::Map<Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>(
      out.vectors.data(), pairs.vectors.rows(), pairs.vectors.cols()) = pairs.vectors;
  return out;
}

std::vector<Column> compute(const Dataset& dataset, const EncodingOptions& options) {
  return std::visit([&](const auto& o) { return columns_of(dataset, o); }, options);
}

}  // namespace gtrain::encode

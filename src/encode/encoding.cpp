#include "gtrain/encode/encoding.h"

#include <fmt/format.h>
#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>

#include <algorithm>
#include <limits>

#include "gtrain/base/error.h"
#include "gtrain/data/square.h"
#include "gtrain/encode/degree.h"
#include "gtrain/encode/electrostatic.h"
#include "gtrain/encode/heat_kernel.h"
#include "gtrain/encode/laplacian.h"
#include "gtrain/encode/local_graph.h"
#include "gtrain/encode/random_walk.h"
#include "gtrain/encode/weisfeiler_lehman.h"
#include "gtrain/graph/hop_distance.h"
#include "gtrain/graph/shortest_path.h"

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

// One column of float rows, from `fill(graph, rows)`; all eigenpairs of a graph are needed.
template <class Fill>
std::vector<Column> dense_rows(const Dataset& dataset, std::string_view name, std::int64_t width,
                               const Fill& fill) {
  constexpr std::int32_t kMostNodes = 8192;  // 512 MiB a matrix
  auto out = data::make_column<float>(std::string(name), Per::kNode, dataset.nodes(), width);
  each_graph<std::vector<double>>(
      dataset, [&](std::vector<double>& rows, const LocalGraph& graph, std::int64_t g) {
        if (graph.nodes() > kMostNodes) {
          throw base::RecipeError(
              fmt::format("encode: {} takes all eigenvectors; graph {} has {} "
                          "nodes, expected at most {}",
                          name, g, graph.nodes(), kMostNodes));
        }
        rows.assign(at(graph.nodes() * width), 0.0);
        fill(graph, std::span<double>(rows));
        float* to = out.data + first_node(dataset, g) * width;
        for (std::size_t i = 0; i < rows.size(); ++i) to[i] = static_cast<float>(rows[i]);
      });
  return {out.column};
}

std::vector<Column> columns_of(const Dataset& dataset, const HeatKernelOptions& options) {
  return dense_rows(dataset, HeatKernelOptions::kName, width_of(EncodingOptions(options)),
                    [&](const LocalGraph& graph, std::span<double> rows) {
                      heat_kernel(graph, options.times, rows);
                    });
}

std::vector<Column> columns_of(const Dataset& dataset, const ElectrostaticOptions&) {
  return dense_rows(
      dataset, ElectrostaticOptions::kName, kElectrostaticColumns,
      [&](const LocalGraph& graph, std::span<double> rows) { electrostatic(graph, rows); });
}

std::vector<Column> columns_of(const Dataset& dataset, const DegreeOptions&) {
  auto out = data::make_column<std::int32_t>("degree", Per::kNode, dataset.nodes(), 2);
  struct Nothing {};
  each_graph<Nothing>(dataset, [&](Nothing&, const LocalGraph& graph, std::int64_t g) {
    degrees(graph, {out.data + 2 * first_node(dataset, g), at(2 * graph.nodes())});
  });
  return {out.column};
}

std::vector<Column> columns_of(const Dataset& dataset, const WeisfeilerLehmanOptions& options) {
  auto out = data::make_column<std::int32_t>("weisfeiler_lehman", Per::kNode, dataset.nodes(), 1);
  struct Nothing {};
  each_graph<Nothing>(dataset, [&](Nothing&, const LocalGraph& graph, std::int64_t g) {
    weisfeiler_lehman(graph, options, {out.data + first_node(dataset, g), at(graph.nodes())});
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

std::vector<Column> columns_of(const Dataset& dataset, const ShortestPathOptions& options) {
  const std::vector<std::int64_t> start = data::square_starts(dataset);
  auto out = data::make_column<std::int32_t>("shortest_path", Per::kPair, start.back(), 1);
  struct Nothing {};
  each_graph<Nothing>(dataset, [&](Nothing&, const LocalGraph& graph, std::int64_t g) {
    const std::vector<std::int32_t> inner = shortest_path(graph.csr(), options);
    std::copy(inner.begin(), inner.end(), out.data + start[at(g)]);
  });
  return {out.column};
}

}  // namespace

void RandomWalkOptions::fields(base::FieldVisitor& f) {
  f({.key = "steps", .doc = "walk lengths 1..steps", .min = 1, .max = 256}, steps);
}

void LaplacianOptions::fields(base::FieldVisitor& f) {
  f({.key = "count", .doc = "eigenpairs", .min = 1, .max = 1024}, count);
  f({.key = "skip",
     .doc = "smallest pairs left out before them; 1: the trivial one",
     .min = 0,
     .max = 1024},
    skip);
  f({.key = "normalization",
     .doc = "none: D - A; sym: I - D^-1/2 A D^-1/2; rw: I - D^-1 A",
     .one_of = {"none", "sym", "rw"}},
    normalization);
  f({.key = "vector_norm",
     .doc =
         "scale of an eigenvector: its norm l2, l1 or abs_max is 1; wavelengths divide abs_max's "
         "by the root of the eigenvalue too",
     .one_of = {"l2", "l1", "abs_max", "wavelength", "wavelength_asin", "wavelength_soft"}},
    vector_norm);
  f({.key = "quirks",
     .doc = "what authors' code does besides: rw_lower_triangle: rw hands its matrix, which is not "
            "symmetric, to a solver that reads the lower triangle alone",
     .one_of = {"rw_lower_triangle"}},
    quirks);
  f.require(quirks.empty() || normalization == "rw", "quirks", "rw_lower_triangle needs rw");
}

void HeatKernelOptions::fields(base::FieldVisitor& f) {
  f({.key = "times", .doc = "diffusion times", .min = 0, .max = 1e6}, times);
  f.require(!times.empty(), "times", "is empty; expected at least one time");
}

void DegreeOptions::fields(base::FieldVisitor&) {}

void HopDistanceOptions::fields(base::FieldVisitor& f) {
  f({.key = "max_distance", .doc = "longer distances count as this", .min = 1, .max = 254},
    max_distance);
}

void ShortestPathOptions::fields(base::FieldVisitor& f) {
  f({.key = "ties",
     .doc = "which of several shortest paths: smallest: last step from the smallest node; search: "
            "first found breadth-first, successors in ascending order; relaxation: by Floyd and "
            "Warshall's last relaxation",
     .one_of = {"smallest", "search", "relaxation"}},
    ties);
  f({.key = "quirks",
     .doc = "what authors' code does besides: v1_node0_path: a path through node 0 is cut short "
            "there by a step between nodes that share no edge",
     .one_of = {"v1_node0_path"}},
    quirks);
}

void WeisfeilerLehmanOptions::fields(base::FieldVisitor& f) {
  f({.key = "rounds", .doc = "rounds of refinement", .min = 1, .max = 64}, rounds);
  f({.key = "quirks",
     .doc = "md5_rank: colours are ranked by the MD5 hash of their text, as GT's authors do",
     .one_of = {"md5_rank"}},
    quirks);
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
    std::int64_t operator()(const HeatKernelOptions& o) const {
      return static_cast<std::int64_t>(o.times.size());
    }
    std::int64_t operator()(const ElectrostaticOptions&) const { return kElectrostaticColumns; }
    std::int64_t operator()(const ShortestPathOptions&) const { return 1; }
    std::int64_t operator()(const WeisfeilerLehmanOptions&) const { return 1; }
  };
  return std::visit(Width{}, options);
}

std::vector<double> random_walk(const graph::Csr& graph, std::int64_t steps) {
  std::vector<double> out(at(graph.nodes() * steps));
  walk_returns(LocalGraph(graph), steps, out);
  return out;
}

std::vector<std::int32_t> shortest_path(const graph::Csr& graph,
                                        const ShortestPathOptions& options) {
  std::vector<std::int32_t> inner(at(graph.nodes() * graph.nodes()));
  graph::inner_nodes(graph,
                     options.ties == "search"       ? graph::PathTie::kSearch
                     : options.ties == "relaxation" ? graph::PathTie::kRelaxation
                                                    : graph::PathTie::kSmallest,
                     inner);
  if (!options.quirks.empty()) {  // v1_node0_path: 0 stood for "no inner node"
    std::replace(inner.begin(), inner.end(), 0, graph::kNoInnerNode);
  }
  return inner;
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

std::vector<double> heat_kernel(const graph::Csr& graph, const HeatKernelOptions& options) {
  std::vector<double> out(at(graph.nodes()) * options.times.size());
  heat_kernel(LocalGraph(graph), options.times, out);
  return out;
}

std::vector<double> electrostatic(const graph::Csr& graph) {
  std::vector<double> out(at(graph.nodes() * kElectrostaticColumns));
  electrostatic(LocalGraph(graph), out);
  return out;
}

std::vector<Column> compute(const Dataset& dataset, const EncodingOptions& options) {
  return std::visit([&](const auto& o) { return columns_of(dataset, o); }, options);
}

}  // namespace gtrain::encode

// Positional and structural encodings: CSR in, named columns out. Computed once per data set in
// parallel over graphs (fp64 inside, stored as fp32), cached beside the store under a key of the
// encoding's options and the data set's hash, deterministic for any thread count.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "gtrain/base/option.h"
#include "gtrain/data/column.h"
#include "gtrain/data/dataset.h"
#include "gtrain/graph/csr.h"

namespace gtrain::encode {

// RWSE (Dwivedi et al. 2022): diag((D^-1 A)^t), t = 1..steps, D out-degrees, 1/0 = 0.
// Column "random_walk" F32 [N, steps].
struct RandomWalkOptions {
  static constexpr std::string_view kName = "random_walk";
  static constexpr std::string_view kDoc =
      "random-walk return probabilities diag((D^-1 A)^t), t = 1..steps (RWSE)";
  std::int64_t steps = 16;
  void fields(base::FieldVisitor& f);
};

// Eigenpairs of the Laplacian of the symmetrised graph, smallest first, canonical signs and bases.
// `skip` of them are left out: 1 drops the trivial one, as GT and PyG do. Columns
// "laplacian.values" and "laplacian.vectors" F32 [N, count] (values repeated for every node of a
// graph); NaN where a graph has no such pair.
struct LaplacianOptions {
  static constexpr std::string_view kName = "laplacian";
  static constexpr std::string_view kDoc =
      "eigenvalues and eigenvectors of the graph Laplacian, smallest first (LapPE)";
  std::int64_t count = 8;
  std::int64_t skip = 0;
  std::string normalization = "none";
  std::string vector_norm = "l2";
  std::vector<std::string> quirks;
  void fields(base::FieldVisitor& f);
};

// HKdiagSE (heat_kernel.h). Column "heat_kernel" F32 [N, times].
struct HeatKernelOptions {
  static constexpr std::string_view kName = "heat_kernel";
  static constexpr std::string_view kDoc =
      "diagonal of the heat kernel at given times, its constant part left out (HKdiagSE)";
  std::vector<double> times{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
  void fields(base::FieldVisitor& f);
};

// ElstaticSE (electrostatic.h). Column "electrostatic" F32 [N, 10].
struct ElectrostaticOptions {
  static constexpr std::string_view kName = "electrostatic";
  static constexpr std::string_view kDoc =
      "ten statistics of the potentials between a node and all others (ElstaticSE)";
  void fields(base::FieldVisitor&) {}
};

// Column "degree" I32 [N, 2]: in-degree, out-degree.
struct DegreeOptions {
  static constexpr std::string_view kName = "degree";
  static constexpr std::string_view kDoc = "in- and out-degree of every node";
  void fields(base::FieldVisitor& f);
};

// Column "hop_distance" U8, per pair (i, j) of a graph, row-major n x n: hops from i to j, capped
// at max_distance; 255 where j cannot be reached.
struct HopDistanceOptions {
  static constexpr std::string_view kName = "hop_distance";
  static constexpr std::string_view kDoc = "shortest-path hop distances between all pairs of nodes";
  std::int64_t max_distance = 254;
  void fields(base::FieldVisitor& f);
};

// Column "shortest_path" I32, per pair (i, j), row-major n x n: a node strictly inside one shortest
// path from i to j, -1 where the path is one edge or none (graph/shortest_path.h). Which of several
// shortest paths is a function of the stored graph alone.
struct ShortestPathOptions {
  static constexpr std::string_view kName = "shortest_path";
  static constexpr std::string_view kDoc =
      "one shortest path between all pairs of nodes, as an inner node of each";
  std::string ties = "smallest";
  std::vector<std::string> quirks;
  void fields(base::FieldVisitor& f);
};

// Roles by colour refinement inside each graph, from 0 (encode/weisfeiler_lehman.h). Column
// "weisfeiler_lehman" I32 [N, 1].
struct WeisfeilerLehmanOptions {
  static constexpr std::string_view kName = "weisfeiler_lehman";
  static constexpr std::string_view kDoc =
      "role of every node in its graph by colour refinement (WL-PE)";
  std::int64_t rounds = 2;
  std::vector<std::string> quirks;
  void fields(base::FieldVisitor& f);
};

using EncodingOptions = std::variant<RandomWalkOptions, LaplacianOptions, DegreeOptions,
                                     HopDistanceOptions, ShortestPathOptions, HeatKernelOptions,
                                     ElectrostaticOptions, WeisfeilerLehmanOptions>;

std::string_view name_of(const EncodingOptions& options);

// Width K of the columns a model sees: steps, count, 2, 1, …
std::int64_t width_of(const EncodingOptions& options);

// One graph, fp64 results, row-major; the same code path as `compute`.
std::vector<double> random_walk(const graph::Csr& graph, std::int64_t steps);  // [N, steps]
std::vector<std::int32_t> shortest_path(const graph::Csr& graph,
                                        const ShortestPathOptions& options);  // [N, N]
struct Eigenpairs {
  std::vector<double> values;   // [min(n - skip, count)]
  std::vector<double> vectors;  // [n, min(n - skip, count)]
};
Eigenpairs laplacian(const graph::Csr& graph, const LaplacianOptions& options);
std::vector<double> heat_kernel(const graph::Csr& graph,
                                const HeatKernelOptions& options);  // [N, times]
std::vector<double> electrostatic(const graph::Csr& graph);         // [N, 10]

// Whole data set, no cache.
std::vector<data::Column> compute(const data::Dataset& dataset, const EncodingOptions& options);

// From the cache beside `store` when its key and hash match, else computed and written there.
std::vector<data::Column> load_or_compute(const data::Dataset& dataset,
                                          const std::filesystem::path& store,
                                          const EncodingOptions& options);

}  // namespace gtrain::encode

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

// Eigenpairs of the Laplacian of the symmetrised graph, smallest first, the trivial one included,
// canonical signs and bases. Columns "laplacian.values" and "laplacian.vectors" F32 [N, count]
// (values repeated for every node of a graph); NaN beyond n. Eigenvectors have L2 norm 1.
struct LaplacianOptions {
  static constexpr std::string_view kName = "laplacian";
  static constexpr std::string_view kDoc =
      "eigenvalues and eigenvectors of the graph Laplacian, smallest first (LapPE)";
  std::int64_t count = 8;
  std::string normalization = "none";  // none: D - A, sym: I - D^-1/2 A D^-1/2
  void fields(base::FieldVisitor& f);
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

using EncodingOptions =
    std::variant<RandomWalkOptions, LaplacianOptions, DegreeOptions, HopDistanceOptions>;

std::string_view name_of(const EncodingOptions& options);

// Width K of the columns a model sees: steps, count, 2, 1.
std::int64_t width_of(const EncodingOptions& options);

// One graph, fp64 results, row-major; the same code path as `compute`.
std::vector<double> random_walk(const graph::Csr& graph, std::int64_t steps);  // [N, steps]
struct Eigenpairs {
  std::vector<double> values;   // [min(n, count)]
  std::vector<double> vectors;  // [n, min(n, count)]
};
Eigenpairs laplacian(const graph::Csr& graph, const LaplacianOptions& options);

// Whole data set, no cache.
std::vector<data::Column> compute(const data::Dataset& dataset, const EncodingOptions& options);

// From the cache beside `store` when its key and hash match, else computed and written there.
std::vector<data::Column> load_or_compute(const data::Dataset& dataset,
                                          const std::filesystem::path& store,
                                          const EncodingOptions& options);

}  // namespace gtrain::encode

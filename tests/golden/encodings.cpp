// Encodings of molecules and odd graphs: Laplacian eigenpairs in every normalisation and vector
// norm, random-walk returns, heat kernels and hop distances. The electrostatic tensors are not
// compared: the reference inverts the fp32 noise left of the eigenvalue 0 (its cut-off is 1e-15),
// so that they are no function of the graph, nor even of the library that made them.
#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "golden/golden.h"
#include "gtrain/encode/encoding.h"
#include "gtrain/encode/vector_norm.h"
#include "gtrain/graph/hop_distance.h"
#include "gtrain/graph/shortest_path.h"

namespace gtrain::golden {
namespace {

// The case's own tolerances are prose; its Laplacian is fp32, its full eigenvalues are not.
constexpr Tolerance kValues{2e-5, 0.0};
constexpr Tolerance kFullValues{1e-9, 0.0};
constexpr Tolerance kVectors{1e-4, 0.0};
constexpr Tolerance kReturns{2e-6, 0.0};
constexpr Tolerance kHeat{2e-5, 0.0};
constexpr Tolerance kScaled{1e-6, 1e-5};
constexpr Tolerance kExact{0.5, 0.0};  // of integers
// fp32 noise turns eigenvectors by about 6e-8 / gap, so closer ones are compared as one space.
constexpr double kGap = 1e-3;

graph::Csr read_graph(const Case& c, const std::string& key) {
  const auto edges = c.input(key + ".input.edge_index", at::kFloat).contiguous();
  const std::int64_t count = edges.size(1);
  const std::int64_t* ids = edges.const_data_ptr<std::int64_t>();
  return graph::build(c.input(key + ".input.num_nodes", at::kFloat).item<std::int64_t>(),
                      {ids, ids + count}, {ids + count, ids + 2 * count});
}

at::Tensor tensor(const std::vector<double>& values, std::int64_t rows, std::int64_t columns) {
  return at::tensor(values, at::kDouble).view({rows, columns});
}

at::Tensor space(const at::Tensor& vectors, std::int64_t begin, std::int64_t end) {
  const at::Tensor v = vectors.slice(1, begin, end);
  return at::matmul(v, v.t());
}

struct Wanted {
  at::Tensor full;     // [n], fp64
  at::Tensor values;   // [n, k, 1], NaN beyond n
  at::Tensor vectors;  // [n, k]
};

void compare_vectors(const std::string& what, const encode::Eigenpairs& whole, const Wanted& want,
                     Checker& checker) {
  const auto n = want.full.size(0);
  const auto m = std::min<std::int64_t>(n, want.vectors.size(1));
  const double* value = want.full.const_data_ptr<double>();
  const at::Tensor ours = tensor(whole.vectors, n, n);
  for (std::int64_t begin = 0; begin < m;) {
    std::int64_t end = begin + 1;
    while (end < n && value[end] - value[end - 1] < kGap) ++end;
    const at::Tensor projector = space(ours, begin, end);
    if (end <= m) {
      checker.close(what, projector, space(want.vectors, begin, end), kVectors);
    } else {  // the reference cuts this space: what it kept has to lie inside
      const at::Tensor kept = want.vectors.slice(1, begin, m);
      checker.close(what, at::matmul(projector, kept), kept, kVectors);
    }
    begin = end;
  }
}

void compare_laplacian(const Case& c, const std::string& key, const graph::Csr& graph,
                       const std::string& normalization, Checker& checker) {
  const std::string base = key + ".lap_" + normalization;
  if (!c.has(base + ".EigVals")) return;
  const Wanted want{c.expected(base + ".full_eigvals64", at::kFloat),
                    c.expected(base + ".EigVals", at::kFloat),
                    c.expected(base + ".EigVecs", at::kFloat)};
  const std::int64_t n = graph.nodes();
  const std::int64_t m = std::min(n, want.vectors.size(1));
  encode::LaplacianOptions options;
  options.normalization = normalization;
  options.count = n;
  const encode::Eigenpairs whole = encode::laplacian(graph, options);
  options.count = want.vectors.size(1);
  const encode::Eigenpairs some = encode::laplacian(graph, options);
  checker.close(base + ".full_eigvals64", tensor(whole.values, 1, n), want.full, kFullValues);
  checker.close(base + ".EigVals", tensor(some.values, 1, m).expand({n, m}),
                want.values.squeeze(2).slice(1, 0, m), kValues);
  if (!at::isnan(want.vectors.slice(1, m)).all().item<bool>()) {
    checker.fail(fmt::format("tensor={}.EigVecs got NaN beyond n want numbers", base));
  }
  checker.close(base + ".EigVecs (first of all)", tensor(some.vectors, n, m),
                tensor(whole.vectors, n, n).slice(1, 0, m), {1e-12, 0.0});
  compare_vectors(base + ".EigVecs", whole, want, checker);
}

// The reference solves the random walk's matrix by its lower triangle: the same values and spaces.
void compare_random_walk_laplacian(const Case& c, const std::string& key, const graph::Csr& graph,
                                   Checker& checker) {
  const std::string base = key + ".lap_rw";
  if (!c.has(base + ".EigVals")) return;
  encode::LaplacianOptions options;
  options.normalization = "rw";
  options.quirks = {"rw_lower_triangle"};
  options.count = graph.nodes();
  const encode::Eigenpairs whole = encode::laplacian(graph, options);
  const Wanted want{tensor(whole.values, 1, graph.nodes()).squeeze(0),
                    c.expected(base + ".EigVals", at::kFloat),
                    c.expected(base + ".EigVecs", at::kFloat)};
  const std::int64_t n = graph.nodes(), m = std::min(n, want.vectors.size(1));
  checker.close(base + ".EigVals", want.full.slice(0, 0, m).unsqueeze(0).expand({n, m}),
                want.values.squeeze(2).slice(1, 0, m), kValues);
  compare_vectors(base + ".EigVecs", whole, want, checker);
}

// Scales of the reference's own eigenvectors, so that signs and bases are the same.
void compare_scales(const Case& c, const std::string& key, Checker& checker) {
  const std::string base = key + ".lap_none";
  for (const char* name : {"L1", "abs-max", "wavelength", "wavelength-asin", "wavelength-soft"}) {
    const std::string tensor_name = base + ".eigvec_" + name;
    if (!c.has(tensor_name)) continue;
    const at::Tensor want = c.expected(tensor_name, at::kFloat);
    const std::int64_t n = want.size(0), k = std::min(n, want.size(1));
    const at::Tensor vectors =
        c.expected(base + ".EigVecs", at::kFloat).slice(1, 0, k).t().contiguous();
    const at::Tensor values =
        c.expected(base + ".EigVals", at::kFloat).slice(1, 0, k)[0].squeeze(1).contiguous();
    Eigen::MatrixXd scaled =
        Eigen::Map<const Eigen::MatrixXd>(vectors.const_data_ptr<double>(), n, k);
    std::string kind = name == std::string("L1") ? "l1" : name;
    std::replace(kind.begin(), kind.end(), '-', '_');
    encode::scale_vectors(
        kind, Eigen::Map<const Eigen::VectorXd>(values.const_data_ptr<double>(), k), scaled);
    const at::Tensor got = at::from_blob(scaled.data(), {k, n}, at::kDouble).t();
    checker.close(tensor_name, got, want.slice(1, 0, k), kScaled);
  }
}

// PyG's transform: symmetric-normalised, the first vector dropped.
void compare_pyg_laplacian(const Case& c, const std::string& key, const graph::Csr& graph,
                           Checker& checker) {
  const std::string name = key + ".pyg.laplacian_pe_4";
  if (!c.has(name)) return;
  encode::LaplacianOptions options;
  options.normalization = "sym";
  options.skip = 1;
  options.count = graph.nodes() - 1;
  const encode::Eigenpairs rest = encode::laplacian(graph, options);
  const auto n = graph.nodes();
  const at::Tensor vectors = tensor(rest.vectors, n, n - 1);
  const at::Tensor want = c.expected(name, at::kFloat);
  for (std::int64_t begin = 0; begin < want.size(1);) {
    std::int64_t end = begin + 1;
    const auto value = [&](std::int64_t i) { return rest.values[static_cast<std::size_t>(i)]; };
    while (end < n - 1 && value(end) - value(end - 1) < kGap) ++end;
    // A space that holds the dropped vector too is cut on both sides by the reference.
    if (begin > 0 || value(0) > kGap) {
      const at::Tensor kept = want.slice(1, begin, std::min(end, want.size(1)));
      checker.close(name, at::matmul(space(vectors, begin, end), kept), kept, kVectors);
    }
    begin = end;
  }
}

void compare_heat(const Case& c, const std::string& key, const graph::Csr& graph,
                  Checker& checker) {
  const std::string name = key + ".hkdiag_1_8";
  if (!c.has(name)) return;
  const std::vector<double> ours =
      encode::heat_kernel(graph, encode::HeatKernelOptions{{1, 2, 3, 4, 5, 6, 7, 8}});
  checker.close(name, tensor(ours, graph.nodes(), 8), c.expected(name, at::kFloat), kHeat);
}

void compare_walks(const Case& c, const std::string& key, const graph::Csr& graph,
                   Checker& checker) {
  const at::Tensor ours = tensor(encode::random_walk(graph, 20), graph.nodes(), 20);
  for (const char* name : {".rwse_1_20", ".pyg.random_walk_pe_1_20"}) {
    if (c.has(key + name)) {
      checker.close(key + name, ours, c.expected(key + name, at::kFloat), kReturns);
    }
  }
  if (const std::string some = key + ".rwse_1_3_7_16"; c.has(some)) {
    const at::Tensor steps = at::tensor({0, 2, 6, 15}, at::kLong);
    checker.close(some, ours.index_select(1, steps), c.expected(some, at::kFloat), kReturns);
  }
}

// Types of the edges along the port's paths, the first types - 1 of them, 0 beyond.
void compare_paths(const Case& c, const std::string& key, const graph::Csr& graph,
                   std::int64_t types, Checker& checker) {
  const std::string name = key + ".graphormer_bias.shortest_path_types";
  if (!c.has(name)) return;
  encode::ShortestPathOptions options;
  options.ties = "search";
  const auto inner = encode::shortest_path(graph, options);
  const at::Tensor type = c.input(key + ".input.edge_type", at::kFloat);
  const graph::Id n = graph.nodes();
  at::Tensor between = at::zeros({n, n}, at::kLong), got = at::zeros({n * n, types}, at::kLong);
  for (graph::Id t = 0; t < n; ++t) {
    for (auto e = static_cast<std::size_t>(graph.start[static_cast<std::size_t>(t)]);
         e < static_cast<std::size_t>(graph.start[static_cast<std::size_t>(t) + 1]); ++e) {
      between[graph.source[e]][t] = type[graph.edge[e]];
    }
  }
  for (graph::Id i = 0; i < n; ++i) {
    const std::vector<graph::Id> hops = graph::hops_from(graph, i);
    for (graph::Id j = 0; j < n; ++j) {
      if (hops[static_cast<std::size_t>(j)] < 1) continue;
      const auto path = graph::path_nodes(inner, n, i, j);
      for (std::int64_t k = 0; k + 1 < std::min<std::int64_t>(std::ssize(path), types); ++k) {
        const auto at = static_cast<std::size_t>(k);
        got[i * n + j][k] = between[path[at]][path[at + 1]];
      }
    }
  }
  checker.close(name, got, c.expected(name, at::kFloat), kExact);
}

// Graphormer's integers: hops capped at types - 1, `types` where no path leads.
void compare_graphormer(const Case& c, const std::string& key, const graph::Csr& graph,
                        Checker& checker) {
  const std::string base = key + ".graphormer_bias.";
  if (!c.has(base + "spatial_types")) return;
  const auto types = c.info().at("config").at("graphormer_num_spatial_types").get<std::uint8_t>();
  const auto n = static_cast<std::size_t>(graph.nodes());
  std::vector<std::uint8_t> hops(n * n);
  graph::hop_matrix(graph, static_cast<std::uint8_t>(types - 1), hops);
  std::vector<double> spatial(hops.begin(), hops.end());
  for (double& h : spatial) h = h == graph::kUnreachableByte ? types : h;
  checker.close(base + "spatial_types", tensor(spatial, 1, static_cast<std::int64_t>(n * n)),
                c.expected(base + "spatial_types", at::kFloat), kExact);
  if (c.has(key + ".input.edge_type")) compare_paths(c, key, graph, types, checker);
}

}  // namespace

void check_encodings(const Case& c, Checker& checker) {
  for (const auto& entry : c.info().at("graphs")) {
    const auto key = entry.at("key").get<std::string>();
    const graph::Csr graph = read_graph(c, key);
    compare_laplacian(c, key, graph, "none", checker);
    compare_laplacian(c, key, graph, "sym", checker);
    compare_random_walk_laplacian(c, key, graph, checker);
    compare_scales(c, key, checker);
    compare_pyg_laplacian(c, key, graph, checker);
    compare_heat(c, key, graph, checker);
    compare_walks(c, key, graph, checker);
    compare_graphormer(c, key, graph, checker);
  }
}

}  // namespace gtrain::golden

#include "gtrain/deploy/encoding_script.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numbers>

#include "gtrain/base/error.h"

namespace gtrain::deploy {
namespace {

// dtype codes of TorchScript: 4 int64, 7 float64.

// Groups cut to pieces of a bounded number of matrix cells; graphs above the limit are refused.
constexpr const char* kPieces = R"(
def pieces(self, batch: Tensor) -> List[Tensor]:
    out: List[Tensor] = []
    for rows in self.graph_groups(batch):
        n = rows.size(1)
        assert n <= {limit}, "batch: graph {{}} has {{}} nodes; the encodings inside this module take at most {limit}; export with --encodings input".format(int(batch[rows[0][0]]), n)
        most = max(1, {cells} // (n * n))
        for first in range(0, rows.size(0), most):
            out.append(rows[first:first + most])
    return out
)";

// A[s, t] of the graphs with these node rows: how often the edge s -> t stands.
constexpr const char* kAdjacency = R"(
def adjacency(self, rows: Tensor, edge_index: Tensor, nodes: int) -> Tensor:
    n = rows.size(1)
    slot = torch.full([nodes], -1, dtype=4, device=rows.device)
    slot.index_copy_(0, rows.reshape(-1), torch.arange(rows.numel(), device=rows.device))
    s = slot.index_select(0, edge_index[0])
    here = torch.nonzero(s >= 0).reshape(-1)
    s = s.index_select(0, here)
    t = slot.index_select(0, edge_index[1].index_select(0, here))
    a = torch.zeros([rows.numel() * n], dtype=7, device=rows.device)
    a.index_add_(0, s * n + t % n, torch.ones(s.size(), dtype=7, device=rows.device))
    return a.reshape(rows.size(0), n, n)
)";

constexpr const char* kRandomWalk = R"(
def random_walk(self, edge_index: Tensor, batch: Tensor, pieces: List[Tensor]) -> Tensor:
    out = torch.zeros([batch.size(0), {steps}], dtype=7, device=batch.device)
    for rows in pieces:
        a = self.adjacency(rows, edge_index, batch.size(0))
        p = a / torch.clamp(a.sum(2, keepdim=True), 1)
        q = p
        columns = [torch.diagonal(p, 0, 1, 2)]
        while len(columns) < {steps}:
            back = q.transpose(1, 2)
            columns.append((q * back).sum(2))
            if len(columns) < {steps}:
                q = torch.bmm(q, p)
                columns.append((q * back).sum(2))
        out.index_copy_(0, rows.reshape(-1), torch.stack(columns, 2).reshape(-1, {steps}))
    return out
)";

// Laplacians of the graphs whose adjacency matrices these are, and their degrees.
constexpr const char* kLaplacianMatrix = R"(
def laplacian_{name}(self, a: Tensor) -> Tuple[Tensor, Tensor]:
    one = torch.eye(a.size(1), dtype=7, device=a.device)
    w = a * (1.0 - one)
    back = w.transpose(1, 2)
    lone = torch.any((w != back).flatten(1), 1).reshape(-1, 1, 1)
    w = torch.where(lone, torch.clamp_max(w + back, 1.0), w)
    degree = w.sum(2)
)";
constexpr const char* kPlain = R"(    return torch.diag_embed(degree) - w, degree
)";
constexpr const char* kSymmetric =
    R"(    scale = torch.where(degree > 0, torch.rsqrt(torch.clamp_min(degree, 1.0)), torch.zeros_like(degree))
    return one - w * (scale.unsqueeze(2) * scale.unsqueeze(1)), degree
)";

// Columns in turn, each graph of the piece within its own cluster. V stays factored: with r the
// pivot and u = V[r,:] / |V[r,:]| within the cluster, b = V u and V -= b u^T.
constexpr const char* kCanonical = R"(
def canonical(self, values: Tensor, vectors: Tensor, count: int) -> Tensor:
    n = values.size(1)
    gaps = (values[:, 1:] - values[:, :-1]) >= 1e-08
    cluster = torch.cumsum(torch.constant_pad_nd(gaps.to(4), [1, 0], 0), 1)
    used = int((cluster <= cluster[:, count - 1:count]).sum(1).max())
    v = vectors[:, :, :used]
    cluster = cluster[:, :used]
    index = torch.arange(n, device=values.device).unsqueeze(0)
    basis: List[Tensor] = []
    for c in range(count):
        same = (cluster == cluster[:, c:c + 1]).unsqueeze(1)
        own = torch.where(same, v, torch.zeros_like(v))
        weight = (own * own).sum(2)
        tied = weight >= torch.amax(weight, [1], True) * 0.999999
        pivot = torch.amin(torch.where(tied, index, torch.full_like(index, n)), [1])
        u = own.gather(1, pivot.reshape(-1, 1, 1).expand(-1, 1, used))
        u = u / torch.clamp_min(torch.norm(u, 2, [2], True), 1e-300)
        b = torch.matmul(own, u.transpose(1, 2))
        v = v - b * u
        basis.append(b)
    return torch.cat(basis, 2)
)";

constexpr const char* kLaplacian = R"(
def laplacian(self, edge_index: Tensor, batch: Tensor, pieces: List[Tensor]) -> Tuple[Tensor, Tensor]:
    values = torch.full([batch.size(0), {count}], float("nan"), dtype=7, device=batch.device)
    vectors = torch.full_like(values, float("nan"))
    for rows in pieces:
        n = rows.size(1)
        k = min(n, {count} + {skip})
        flat = rows.reshape(-1)
        matrix, degree = self.laplacian_{matrix}(self.adjacency(rows, edge_index, batch.size(0)))
        w, v = torch.linalg_eigh(matrix)
        v = self.canonical(w, v, k)[:, :, {skip}:]
        w = torch.clamp_min(w[:, {skip}:k], 0.0)
{scale}        w = w.unsqueeze(1).expand(-1, n, -1)
        missing = [0, {count} - w.size(2)]
        values.index_copy_(0, flat, torch.constant_pad_nd(w, missing, float("nan")).reshape(-1, {count}))
        vectors.index_copy_(0, flat, torch.constant_pad_nd(v, missing, float("nan")).reshape(-1, {count}))
    return values, vectors
)";

constexpr const char* kRandomWalkVectors =
    R"(        v = v * torch.where(degree > 0, torch.rsqrt(torch.clamp_min(degree, 1.0)), torch.ones_like(degree)).unsqueeze(2)
        v = v / torch.norm(v, 2, [1], True)
)";

// Scales of eigenvectors as encode/vector_norm.h has them, by the text of the denominator.
std::string vector_scale(const std::string& kind) {
  if (kind == "l2") return "";
  std::string text =
      "        size = v.abs()\n"
      "        top = torch.amax(size, [1], True)\n"
      "        root = torch.where(w < 1e-12, torch.ones_like(w), torch.sqrt(w)).unsqueeze(1)\n";
  std::string denominator = "top";
  if (kind == "l1") denominator = "size.sum(1, True)";
  if (kind == "wavelength")
    denominator = fmt::format("top * root * {:.17g}", 2.0 / std::numbers::pi);
  if (kind == "wavelength_soft") {
    denominator = "(torch.softmax(size, 1) * size).sum(1, True) * root";
  }
  if (kind == "wavelength_asin") {
    text += "        v = torch.asin(v / torch.clamp_min(top, 1e-12))\n";
    denominator = "root";
  }
  return text + fmt::format("        v = v / torch.clamp_min({}, 1e-12)\n", denominator);
}

constexpr const char* kHeatKernel = R"(
def heat_kernel(self, edge_index: Tensor, batch: Tensor, pieces: List[Tensor]) -> Tensor:
    times = torch.tensor([{times}], dtype=7, device=batch.device)
    out = torch.zeros([batch.size(0), times.size(0)], dtype=7, device=batch.device)
    for rows in pieces:
        matrix, degree = self.laplacian_none(self.adjacency(rows, edge_index, batch.size(0)))
        w, v = torch.linalg_eigh(matrix)
        w = w.unsqueeze(2)
        decay = torch.exp(-w * times) * (w >= 1e-08).to(7)
        out.index_copy_(0, rows.reshape(-1), torch.matmul(v * v, decay).reshape(-1, times.size(0)))
    return out
)";

constexpr const char* kElectrostatic = R"(
def electrostatic(self, edge_index: Tensor, batch: Tensor, pieces: List[Tensor]) -> Tensor:
    out = torch.zeros([batch.size(0), 10], dtype=7, device=batch.device)
    for rows in pieces:
        matrix, degree = self.laplacian_none(self.adjacency(rows, edge_index, batch.size(0)))
        w, v = torch.linalg_eigh(matrix)
        inverse = torch.where(w < 1e-08, torch.zeros_like(w), torch.reciprocal(w))
        p = torch.matmul(v * inverse.unsqueeze(1), v.transpose(1, 2))
        e = p - torch.diagonal(p, 0, 1, 2).unsqueeze(1)
        scale = torch.where(degree > 0, torch.reciprocal(degree), torch.zeros_like(degree))
        near = (torch.diag_embed(degree) - matrix) * scale.unsqueeze(2) * e
        columns: List[Tensor] = []
        for d in range(1, 3):
            columns.append(torch.amin(e, [d]))
            columns.append(torch.amax(e, [d]))
            mean = torch.mean(e, [d], True)
            columns.append(mean.squeeze(d))
            square = torch.sum((e - mean) * (e - mean), [d])
            columns.append(torch.sqrt(square / float(max(rows.size(1) - 1, 1))))
        columns.append(near.sum(1))
        columns.append(near.sum(2))
        out.index_copy_(0, rows.reshape(-1), torch.stack(columns, 2).reshape(-1, 10))
    return out
)";

constexpr const char* kDegree = R"(
def degree(self, edge_index: Tensor, batch: Tensor) -> Tensor:
    into = torch.bincount(edge_index[1], minlength=batch.size(0))
    out = torch.bincount(edge_index[0], minlength=batch.size(0))
    return torch.stack([into, out], 1)
)";

// Numbers of the pairs of the graphs with these node rows, [g, n n].
constexpr const char* kPairRows = R"(
def pair_rows(self, batch: Tensor, rows: Tensor) -> Tensor:
    count = torch.bincount(batch)
    square = count * count
    start = torch.cumsum(square, 0) - square
    first = start.index_select(0, batch.index_select(0, rows[:, 0]))
    cells = rows.size(1) * rows.size(1)
    return first.unsqueeze(1) + torch.arange(cells, device=batch.device).unsqueeze(0)
def pair_count(self, batch: Tensor) -> int:
    count = torch.bincount(batch)
    return int((count * count).sum())
def hops(self, a: Tensor) -> Tuple[Tensor, Tensor]:
    n = a.size(1)
    one = torch.eye(n, dtype=7, device=a.device)
    d = torch.where(a > 0, torch.ones_like(a), torch.full_like(a, 1e9)) * (1.0 - one)
    inner = torch.full_like(a, -1.0)
    for k in range(n):
        through = d[:, :, k:k + 1] + d[:, k:k + 1, :]
        inner = torch.where(through < d, torch.full_like(a, float(k)), inner)
        d = torch.minimum(d, through)
    return d, inner
)";

constexpr const char* kHopDistance = R"(
def hop_distance(self, edge_index: Tensor, batch: Tensor, pieces: List[Tensor]) -> Tensor:
    out = torch.zeros([self.pair_count(batch)], dtype=7, device=batch.device)
    for rows in pieces:
        d = self.hops(self.adjacency(rows, edge_index, batch.size(0)))[0]
        d = torch.where(d < 1e9, torch.clamp_max(d, {cap}), torch.full_like(d, 255.0))
        out.index_copy_(0, self.pair_rows(batch, rows).reshape(-1), d.reshape(-1))
    return out
)";

constexpr const char* kShortestPath = R"(
def shortest_path(self, edge_index: Tensor, batch: Tensor, pieces: List[Tensor]) -> Tensor:
    out = torch.zeros([self.pair_count(batch)], dtype=7, device=batch.device)
    for rows in pieces:
        a = self.adjacency(rows, edge_index, batch.size(0))
        d, inner = self.hops(a)
{ties}        out.index_copy_(0, self.pair_rows(batch, rows).reshape(-1), inner.reshape(-1))
    return out.unsqueeze(1)
)";

// The smallest node one hop nearer to the start comes last and stays.
constexpr const char* kSmallestTies =
    R"(        inner = torch.full_like(a, -1.0)
        for back in range(a.size(1)):
            k = a.size(1) - 1 - back
            last = (d[:, :, k:k + 1] + 1.0 == d) & (a[:, k:k + 1, :] > 0) & (d >= 2.0)
            inner = torch.where(last & (d < 1e9), torch.full_like(a, float(k)), inner)
)";
constexpr const char* kNode0 =
    "        inner = torch.where(inner == 0, torch.full_like(inner, -1.0), inner)\n";

// 2^24 cells: 128 MiB a matrix.
constexpr std::int64_t kCells = std::int64_t{1} << 24;

struct Scripts {
  std::string methods;  // definitions
  std::string body;     // statements of `encodings`: columns as local variables
  bool dense = false;

  void add_matrix(const std::string& name) {
    dense = true;
    if (methods.find("def laplacian_" + name) != std::string::npos) return;
    methods += fmt::format(kLaplacianMatrix, fmt::arg("name", name));
    methods += name == "none" ? kPlain : kSymmetric;
  }
  void add(const encode::RandomWalkOptions& o) {
    dense = true;
    methods += fmt::format(kRandomWalk, fmt::arg("steps", o.steps));
    body += "    random_walk = self.random_walk(edge_index, batch, pieces)\n";
  }
  void add(const encode::LaplacianOptions& o) {
    if (!o.quirks.empty()) {
      throw base::RecipeError(
          "encode: laplacian with quirks is not computed inside an exported module");
    }
    const std::string matrix = o.normalization == "none" ? "none" : "symmetric";
    add_matrix(matrix);
    methods += kCanonical;
    methods += fmt::format(kLaplacian, fmt::arg("count", o.count), fmt::arg("skip", o.skip),
                           fmt::arg("matrix", matrix),
                           fmt::arg("scale", (o.normalization == "rw" ? kRandomWalkVectors : "") +
                                                 vector_scale(o.vector_norm)));
    body += "    laplacian_values, laplacian_vectors = self.laplacian(edge_index, batch, pieces)\n";
  }
  void add(const encode::HeatKernelOptions& o) {
    add_matrix("none");
    methods += fmt::format(kHeatKernel,
                           fmt::arg("times", fmt::format("{:.17e}", fmt::join(o.times, ", "))));
    body += "    heat_kernel = self.heat_kernel(edge_index, batch, pieces)\n";
  }
  void add(const encode::ElectrostaticOptions&) {
    add_matrix("none");
    methods += kElectrostatic;
    body += "    electrostatic = self.electrostatic(edge_index, batch, pieces)\n";
  }
  void add(const encode::DegreeOptions&) {
    methods += kDegree;
    body += "    degree = self.degree(edge_index, batch)\n";
  }
  void add_pairs() {
    dense = true;
    if (methods.find("def pair_rows") == std::string::npos) methods += kPairRows;
  }
  void add(const encode::HopDistanceOptions& o) {
    add_pairs();
    methods += fmt::format(kHopDistance, fmt::arg("cap", o.max_distance));
    body += "    hop_distance = self.hop_distance(edge_index, batch, pieces)\n";
  }
  void add(const encode::ShortestPathOptions& o) {
    if (o.ties == "search") {
      throw base::RecipeError(
          "encode: shortest_path with ties: search is not computed inside an exported module");
    }
    add_pairs();
    const std::string ties = o.ties == "smallest" ? kSmallestTies : "";
    methods +=
        fmt::format(kShortestPath, fmt::arg("ties", ties + (o.quirks.empty() ? "" : kNode0)));
    body += "    shortest_path = self.shortest_path(edge_index, batch, pieces)\n";
  }
  template <class Options>
  void add(const Options&) {
    throw base::RecipeError(
        fmt::format("encode: {} is not computed inside an exported module", Options::kName));
  }
};

// "laplacian.values" -> "laplacian"
std::string encoding_of_column(const std::string& column) {
  return column.substr(0, column.find('.'));
}

}  // namespace

std::string argument_of(const std::string& column) {
  std::string name = column;
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
}

std::string encoding_script(const std::vector<encode::EncodingOptions>& options,
                            const std::vector<std::string>& columns) {
  Scripts scripts;
  std::vector<std::string> done;
  std::string list;
  for (const std::string& column : columns) {
    const std::string name = encoding_of_column(column);
    list += fmt::format("{}{}.to(like.dtype)", list.empty() ? "" : ", ", argument_of(column));
    if (std::find(done.begin(), done.end(), name) != done.end()) continue;
    const auto found = std::find_if(options.begin(), options.end(),
                                    [&](const auto& o) { return encode::name_of(o) == name; });
    if (found == options.end()) {
      throw base::RecipeError(
          fmt::format("encode: {} is not computed, but the model reads it", name));
    }
    std::visit([&](const auto& o) { scripts.add(o); }, *found);
    done.push_back(name);
  }
  std::string text;
  if (scripts.dense) {
    text += fmt::format(kPieces, fmt::arg("limit", kDenseNodes), fmt::arg("cells", kCells));
    text += kAdjacency;
  }
  text += scripts.methods;
  text +=
      "\ndef encodings(self, edge_index: Tensor, batch: Tensor, like: Tensor) -> List[Tensor]:\n";
  if (scripts.dense) text += "    pieces = self.pieces(batch)\n";
  text += scripts.body;
  return text + (list.empty() ? "    out: List[Tensor] = []\n    return out\n"
                              : fmt::format("    return [{}]\n", list));
}

}  // namespace gtrain::deploy

#include "gtrain/deploy/encoding_script.h"

#include <fmt/format.h>

#include <algorithm>

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

constexpr const char* kLaplacianMatrix = R"(
def laplacian_matrix(self, a: Tensor) -> Tensor:
    one = torch.eye(a.size(1), dtype=7, device=a.device)
    w = a * (1.0 - one)
    back = w.transpose(1, 2)
    lone = torch.any((w != back).flatten(1), 1).reshape(-1, 1, 1)
    w = torch.where(lone, torch.clamp_max(w + back, 1.0), w)
    degree = w.sum(2)
)";
constexpr const char* kPlain = R"(    return torch.diag_embed(degree) - w
)";
constexpr const char* kSymmetric =
    R"(    scale = torch.where(degree > 0, torch.rsqrt(torch.clamp_min(degree, 1.0)), torch.zeros_like(degree))
    return one - w * (scale.unsqueeze(2) * scale.unsqueeze(1))
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
        k = min(n, {count})
        flat = rows.reshape(-1)
        w, v = torch.linalg_eigh(self.laplacian_matrix(self.adjacency(rows, edge_index, batch.size(0))))
        v = self.canonical(w, v, k)
        w = torch.clamp_min(w[:, :k], 0.0).unsqueeze(1).expand(-1, n, -1)
        missing = [0, {count} - k]
        values.index_copy_(0, flat, torch.constant_pad_nd(w, missing, float("nan")).reshape(-1, {count}))
        vectors.index_copy_(0, flat, torch.constant_pad_nd(v, missing, float("nan")).reshape(-1, {count}))
    return values, vectors
)";

constexpr const char* kDegree = R"(
def degree(self, edge_index: Tensor, batch: Tensor) -> Tensor:
    into = torch.bincount(edge_index[1], minlength=batch.size(0))
    out = torch.bincount(edge_index[0], minlength=batch.size(0))
    return torch.stack([into, out], 1)
)";

// 2^24 cells: 128 MiB a matrix.
constexpr std::int64_t kCells = std::int64_t{1} << 24;

struct Scripts {
  std::string methods;  // definitions
  std::string body;     // statements of `encodings`: columns as local variables
  bool dense = false;

  void add(const encode::RandomWalkOptions& o) {
    dense = true;
    methods += fmt::format(kRandomWalk, fmt::arg("steps", o.steps));
    body += "    random_walk = self.random_walk(edge_index, batch, pieces)\n";
  }
  void add(const encode::LaplacianOptions& o) {
    if (o.normalization == "rw" || o.vector_norm != "l2" || o.skip > 0) {
      throw base::RecipeError(
          "encode: laplacian with rw, skip or a vector_norm other than l2 is not computed inside "
          "an exported module");
    }
    dense = true;
    methods += kLaplacianMatrix;
    methods += o.normalization == "sym" ? kSymmetric : kPlain;
    methods += kCanonical;
    methods += fmt::format(kLaplacian, fmt::arg("count", o.count));
    body += "    laplacian_values, laplacian_vectors = self.laplacian(edge_index, batch, pieces)\n";
  }
  void add(const encode::DegreeOptions&) {
    methods += kDegree;
    body += "    degree = self.degree(edge_index, batch)\n";
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

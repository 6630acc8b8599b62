#include <fmt/format.h>
#include <fmt/ranges.h>

#include <numbers>

#include "detail/encoding_text.h"

namespace gtrain::deploy::detail {
namespace {

// Laplacians of the graphs whose adjacency matrices these are, and their degrees.
constexpr const char* kMatrix = R"(
def laplacian_{name}(self, a: Tensor) -> Tuple[Tensor, Tensor]:
    one = torch.eye(a.size(1), dtype=7, device=a.device)
    w = a * (1.0 - one)
    back = w.transpose(1, 2)
    lone = torch.any((w != back).flatten(1), 1).reshape(-1, 1, 1)
    w = torch.where(lone, torch.clamp_max(w + back, 1.0), w)
    degree = w.sum(2)
{rest}    return matrix, degree
)";
constexpr const char* kPlain = "    matrix = torch.diag_embed(degree) - w\n";
constexpr const char* kSymmetric =
    R"(    scale = torch.where(degree > 0, torch.rsqrt(torch.clamp_min(degree, 1.0)), torch.zeros_like(degree))
    matrix = one - w * (scale.unsqueeze(2) * scale.unsqueeze(1))
)";
constexpr const char* kLower =
    R"(    low = torch.tril(w / torch.clamp_min(degree, 1.0).unsqueeze(2), -1)
    matrix = one - low - low.transpose(1, 2)
)";

std::string matrix_method(const std::string& name, const char* rest) {
  return fmt::format(kMatrix, fmt::arg("name", name), fmt::arg("rest", rest));
}

// Vector r of every cluster at once, each graph of the piece with its own clusters. V stays
// factored: with r the pivot and u = V[r,:] / |V[r,:]| within the cluster, b = V u, V -= b u^T.
constexpr const char* kCanonical = R"(
def canonical(self, values: Tensor, vectors: Tensor, count: int) -> Tensor:
    n = values.size(1)
    gaps = (values[:, 1:] - values[:, :-1]) >= 1e-08
    cluster = torch.constant_pad_nd(torch.cumsum(gaps.to(4), 1), [1, 0], 0)
    used = int((cluster <= cluster[:, count - 1:count]).sum(1).max())
    v = vectors[:, :, :used]
    cluster = cluster[:, :used]
    member = (cluster.unsqueeze(2) == torch.arange(count, device=v.device)).to(7)
    own = torch.clamp_max(cluster, count - 1).unsqueeze(1)
    first = own[:, :, :count]
    rank = torch.cumsum(member[:, :count], 1).gather(2, first.transpose(1, 2)).squeeze(2) - 1.0
    rounds = int(rank.max()) + 1
    own = own.expand(-1, n, -1)
    first = first.expand(-1, n, -1)
    node = torch.arange(n, device=v.device).reshape(1, -1, 1)
    out = torch.zeros([v.size(0), n, count], dtype=7, device=v.device)
    for r in range(rounds):
        weight = torch.bmm(v * v, member)
        tied = weight >= torch.amax(weight, [1], True) * 0.999999
        pivot = torch.amin(torch.where(tied, node, torch.full_like(node, n)), [1])
        u = v.gather(1, pivot.unsqueeze(2).expand(-1, -1, used)) * member.transpose(1, 2)
        u = u / torch.clamp_min(torch.norm(u, 2, [2], True), 1e-300)
        b = torch.bmm(v, u.transpose(1, 2))
        out = torch.where((rank == float(r)).unsqueeze(1), b.gather(2, first), out)
        if r + 1 < rounds:
            v = v - b.gather(2, own) * u.sum(1).unsqueeze(1)
    return out
)";

constexpr const char* kLaplacian = R"(
def laplacian(self, a: Tensor) -> Tuple[Tensor, Tensor]:
    n = a.size(1)
    k = min(n, {count} + {skip})
    matrix, degree = self.laplacian_{matrix}(a)
    w, v = torch.linalg_eigh(matrix)
    v = self.canonical(w, v, k)[:, :, {skip}:]
    w = torch.clamp_min(w[:, {skip}:k], 0.0)
{scale}    w = w.unsqueeze(1).expand(-1, n, -1)
    missing = [0, {count} - w.size(2)]
    return torch.constant_pad_nd(w, missing, float("nan")), torch.constant_pad_nd(v, missing, float("nan"))
)";

constexpr const char* kRandomWalkVectors =
    R"(    v = v * torch.where(degree > 0, torch.rsqrt(torch.clamp_min(degree, 1.0)), torch.ones_like(degree)).unsqueeze(2)
    v = v / torch.norm(v, 2, [1], True)
)";

// Scales of eigenvectors as encode/vector_norm.h has them, by the text of the denominator.
std::string vector_scale(const std::string& kind) {
  if (kind == "l2") return "";
  std::string text =
      "    size = v.abs()\n"
      "    top = torch.amax(size, [1], True)\n"
      "    root = torch.where(w < 1e-12, torch.ones_like(w), torch.sqrt(w)).unsqueeze(1)\n";
  std::string denominator = "top";
  if (kind == "l1") denominator = "size.sum(1, True)";
  if (kind == "wavelength") {
    denominator = fmt::format("top * root * {:.17g}", 2.0 / std::numbers::pi);
  }
  if (kind == "wavelength_soft") {
    denominator = "(torch.softmax(size, 1) * size).sum(1, True) * root";
  }
  if (kind == "wavelength_asin") {
    text += "    v = torch.asin(v / torch.clamp_min(top, 1e-12))\n";
    denominator = "root";
  }
  return text + fmt::format("    v = v / torch.clamp_min({}, 1e-12)\n", denominator);
}

constexpr const char* kHeatKernel = R"(
def heat_kernel(self, a: Tensor) -> Tensor:
    times = torch.tensor([{times}], dtype=7, device=a.device)
    matrix, degree = self.laplacian_none(a)
    w, v = torch.linalg_eigh(matrix)
    w = w.unsqueeze(2)
    decay = torch.exp(-w * times) * (w >= 1e-08).to(7)
    return torch.matmul(v * v, decay)
)";

constexpr const char* kElectrostatic = R"(
def electrostatic(self, a: Tensor) -> Tensor:
    matrix, degree = self.laplacian_none(a)
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
        columns.append(torch.sqrt(square / float(max(a.size(1) - 1, 1))))
    columns.append(near.sum(1))
    columns.append(near.sum(2))
    return torch.stack(columns, 2)
)";

}  // namespace

EncodingText text_of(const encode::LaplacianOptions& options) {
  const bool none = options.normalization == "none";
  const bool lower = !options.quirks.empty();  // rw_lower_triangle
  const std::string matrix = none ? "none" : lower ? "lower" : "symmetric";
  const bool walk = options.normalization == "rw" && !lower;
  EncodingText text;
  text.methods = {matrix_method(matrix, none ? kPlain : (lower ? kLower : kSymmetric)), kCanonical,
                  fmt::format(kLaplacian, fmt::arg("count", options.count),
                              fmt::arg("skip", options.skip), fmt::arg("matrix", matrix),
                              fmt::arg("scale", (walk ? kRandomWalkVectors : "") +
                                                    vector_scale(options.vector_norm)))};
  text.before =
      zeros("laplacian_values", options.count) + zeros("laplacian_vectors", options.count);
  text.piece = "        values, vectors = self.laplacian(a)\n" +
               fill("laplacian_values", options.count, "values") +
               fill("laplacian_vectors", options.count, "vectors");
  return text;
}

EncodingText text_of(const encode::HeatKernelOptions& options) {
  const auto width = static_cast<std::int64_t>(options.times.size());
  return {{matrix_method("none", kPlain),
           fmt::format(kHeatKernel,
                       fmt::arg("times", fmt::format("{:.17e}", fmt::join(options.times, ", "))))},
          zeros("heat_kernel", width),
          fill("heat_kernel", width, "self.heat_kernel(a)")};
}

EncodingText text_of(const encode::ElectrostaticOptions& options) {
  const std::int64_t width = encode::width_of(options);
  return {{matrix_method("none", kPlain), kElectrostatic},
          zeros("electrostatic", width),
          fill("electrostatic", width, "self.electrostatic(a)")};
}

}  // namespace gtrain::deploy::detail

#include "gtrain/deploy/graph_script.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "gtrain/base/error.h"

namespace gtrain::deploy {
namespace {

constexpr const char* kConstant = R"(
def made_features(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
    return torch.zeros([x.size(0), 1], dtype=4, device=x.device)
)";

constexpr const char* kDegree = R"(
def made_features(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
    degree = torch.bincount(edge_index[1], minlength=x.size(0))
    return {degree}.unsqueeze(1)
)";

// Of the edges that leave a node; nodes without any keep zeros.
constexpr const char* kProfile = R"(
def made_features(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
    s = edge_index[0]
    degree = torch.bincount(s, minlength=x.size(0)).to(7)
    other = degree.index_select(0, edge_index[1])
    least = torch.zeros_like(degree).scatter_reduce(0, s, other, "amin", include_self=False)
    most = torch.zeros_like(degree).scatter_reduce(0, s, other, "amax", include_self=False)
    divisor = torch.clamp_min(degree, 1.0)
    mean = torch.index_add(torch.zeros_like(degree), 0, s, other) / divisor
    apart = other - mean.index_select(0, s)
    square = torch.index_add(torch.zeros_like(degree), 0, s, apart * apart) / divisor
    return torch.stack([degree, least, most, mean, torch.sqrt(square)], 1).to(6)
)";

constexpr const char* kOneHot = R"(
def made_features(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
    counts = [{counts}]
    ids = x.to(4)
    limit = torch.tensor(counts, device=x.device)
    wrong = torch.nonzero((ids < 0) | (ids >= limit) | (ids != x))
    if wrong.size(0) > 0:
        row = int(wrong[0][0])
        c = int(wrong[0][1])
        held = str(float(x[row][c])) if x.is_floating_point() else str(int(x[row][c]))
        assert False, "x: row {{}} column {{}} holds {{}}; expected a category from 0 to {{}}".format(row, c, held, counts[c] - 1)
    out: List[Tensor] = []
    for c in range(len(counts)):
        out.append(ids[:, c:c + 1] == torch.arange(counts[c], device=x.device))
    return torch.cat(out, 1).to(6)
)";

// Row r of graph g becomes row r + g; the virtual node of g is the last of its nodes.
constexpr const char* kVirtual = R"(
def with_virtual(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor, batch: Tensor) -> Tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    count = torch.bincount(batch) + 1
    rows = torch.arange(x.size(0), device=x.device) + batch
    graphs = torch.arange(count.size(0), device=x.device)
    ends = torch.stack([rows, (torch.cumsum(count, 0) - 1).index_select(0, batch)])
    added = torch.cat([ends, ends.flip(0)], 1)
    zeros = torch.zeros([added.size(1), edge_attr.size(1)], dtype=edge_attr.dtype, device=x.device)
    x = self.widened(x, rows, x.size(0) + count.size(0))
    batch = torch.repeat_interleave(graphs, count)
{edges}    return x, edge_index, edge_attr, batch, rows
def widened(self, column: Tensor, rows: Tensor, nodes: int) -> Tensor:
    out = torch.zeros([nodes, column.size(1)], dtype=column.dtype, device=column.device)
    return torch.index_copy(out, 0, rows, column)
)";
constexpr const char* kAdded =
    R"(    own = rows.index_select(0, edge_index.reshape(-1)).reshape(2, -1)
    edge_index = torch.cat([own, added], 1)
    edge_attr = torch.cat([edge_attr, zeros])
)";
constexpr const char* kPure = R"(    edge_index = added
    edge_attr = zeros
)";

}  // namespace

std::string feature_script(const RawFeatures& features) {
  if (features.name.empty()) return "";
  if (features.name == "constant") return kConstant;
  if (features.name == "local_degree_profile") return kProfile;
  if (features.name == "degree_onehot") {
    return fmt::format(kDegree, fmt::arg("degree", features.degree_cap == 0
                                                       ? "degree"
                                                       : fmt::format("torch.clamp_max(degree, {})",
                                                                     features.degree_cap)));
  }
  if (features.name != "one_hot" || features.categories.empty()) {
    throw base::RecipeError(fmt::format(
        "dataset.features: {} cannot be made inside an exported module; expected columns with "
        "categories, and features: one_hot in the recipe",
        features.name));
  }
  return fmt::format(kOneHot,
                     fmt::arg("counts", fmt::format("{}", fmt::join(features.categories, ", "))));
}

std::int64_t raw_width(const RawFeatures& features, std::int64_t width) {
  if (features.name.empty()) return width;
  return features.name == "one_hot" ? static_cast<std::int64_t>(features.categories.size()) : -1;
}

std::string transform_script(const std::vector<data::TransformOptions>& transform) {
  if (transform.empty()) return "";
  if (transform.size() > 1) {
    throw base::RecipeError(
        "dataset.transform: virtual_node stands twice; expected one virtual node a graph");
  }
  const auto& options = std::get<data::VirtualNodeOptions>(transform.front());
  return fmt::format(kVirtual, fmt::arg("edges", options.pure ? kPure : kAdded));
}

bool transforms_after(const std::vector<data::TransformOptions>& transform, const char* stage) {
  return std::any_of(transform.begin(), transform.end(), [&](const auto& t) {
    return std::visit([&](const auto& o) { return o.after == stage; }, t);
  });
}

}  // namespace gtrain::deploy

#include <fmt/format.h>

#include "detail/encoding_text.h"

namespace gtrain::deploy::detail {
namespace {

// Breadth-first from many sources at once, sparse, for all graphs of the batch together: the front
// is a list of pairs (source, node) in the order in which a queue would hold them. Pairs are cells
// of the graphs' n x n blocks, one graph after another; `origin` is a source's row less its graph's
// first node, so that origin + node is a cell. Sources go in blocks of a bounded number of edges.
constexpr const char* kSearch = R"(
def search(self, edge_index: Tensor, batch: Tensor) -> Tuple[Tensor, Tensor]:
    self.check_sizes(batch)
    nodes = batch.size(0)
    count = torch.bincount(batch)
    square = count * count
    if nodes == 0:
        return square, square
    zero = (torch.cumsum(count, 0) - count).index_select(0, batch)
    node = torch.arange(nodes, device=batch.device)
    base = (torch.cumsum(square, 0) - square).index_select(0, batch)
    row = base + (node - zero) * count.index_select(0, batch) - zero
    order = torch.argsort(edge_index[0] * nodes + edge_index[1])
    target = edge_index[1].index_select(0, order)
    degree = torch.bincount(edge_index[0], minlength=nodes)
    start = torch.cumsum(degree, 0) - degree
    work = torch.bincount(batch, degree.to(7)).index_select(0, batch) + 1.0
    block = torch.floor(torch.cumsum(work, 0) / {work}.0)
    hops = torch.full([int(square.sum())], -1, dtype=4, device=batch.device)
    owner = torch.full_like(hops, hops.size(0) * nodes)
    inner = torch.full_like(hops, nodes)
    for b in range(int(block[nodes - 1]) + 1):
        at = torch.nonzero(block == float(b)).reshape(-1)
        origin = row.index_select(0, at)
        hops.index_fill_(0, origin + at, 0)
        level = 0
        while at.numel() > 0:
            level += 1
            degrees = degree.index_select(0, at)
            which = torch.repeat_interleave(torch.arange(at.size(0), device=at.device), degrees)
            skip = start.index_select(0, at) - torch.cumsum(degrees, 0) + degrees
            edge = torch.arange(which.size(0), device=at.device) + skip.index_select(0, which)
            to = target.index_select(0, edge)
            cell = origin.index_select(0, which) + to
            fresh = torch.nonzero(hops.index_select(0, cell) < 0).reshape(-1)
            which = which.index_select(0, fresh)
            to = to.index_select(0, fresh)
            cell = cell.index_select(0, fresh)
            hops.index_fill_(0, cell, level)
            place = torch.arange(cell.size(0), device=at.device)
            owner.scatter_reduce_(0, cell, place, "amin")
            won = torch.nonzero(owner.index_select(0, cell) == place).reshape(-1)
{inner}            at = to.index_select(0, won)
            origin = origin.index_select(0, which.index_select(0, won))
    inner = torch.where((inner == nodes) | (hops < 2), torch.full_like(inner, -1), inner)
    return hops, inner
)";

// Before `at` and `origin` move on: the last node before the end of each path to `cell`.
constexpr const char* kFrom =
    "            before = at.index_select(0, which)\n"
    "            own = (before - zero.index_select(0, before))\n";
// The one that reached it first.
constexpr const char* kFirst =
    "            inner.index_copy_(0, cell.index_select(0, won), own.index_select(0, won))\n";
constexpr const char* kSmallest = "            inner.scatter_reduce_(0, cell, own, \"amin\")\n";
// The largest inner node of the path, and of several paths the smallest such. -1 after one step.
constexpr const char* kRelaxation =
    R"(            if level > 1:
                most = inner.index_select(0, origin.index_select(0, which) + before)
                inner.scatter_reduce_(0, cell, torch.maximum(most, own), "amin")
            else:
                inner.index_fill_(0, cell, -1)
)";

// 2^22 steps of a search at a time: about 300 MiB.
constexpr std::int64_t kWork = std::int64_t{1} << 22;

std::string search_method(const std::optional<encode::ShortestPathOptions>& paths) {
  std::string inner;
  if (paths) {
    inner = kFrom;
    inner += paths->ties == "search" ? kFirst : paths->ties == "smallest" ? kSmallest : kRelaxation;
  }
  return fmt::format(kSearch, fmt::arg("work", kWork), fmt::arg("inner", inner));
}

}  // namespace

EncodingText path_text(const std::optional<encode::HopDistanceOptions>& hops,
                       const std::optional<encode::ShortestPathOptions>& paths) {
  EncodingText text;
  text.methods = {search_method(paths)};
  text.before = "    hops, inner = self.search(edge_index, batch)\n";
  if (hops) {
    text.before += fmt::format(
        "    hop_distance = torch.where(hops < 0, torch.full_like(hops, 255), "
        "torch.clamp_max(hops, "
        "{}))\n",
        hops->max_distance);
  }
  if (paths) {
    if (!paths->quirks.empty()) {  // v1_node0_path
      text.before += "    inner = torch.where(inner == 0, torch.full_like(inner, -1), inner)\n";
    }
    text.before += "    shortest_path = inner.unsqueeze(1)\n";
  }
  return text;
}

}  // namespace gtrain::deploy::detail

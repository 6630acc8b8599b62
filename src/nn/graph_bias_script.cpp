#include <fmt/format.h>
#include <fmt/ranges.h>

#include "gtrain/nn/graph_bias.h"

namespace gtrain::nn {
namespace {

// dtype 4: int64. Pairs are numbered as in PairInput; `h` are hops, 255 out of reach.
constexpr const char* kPairs = R"(
def forward(self, hops: Tensor, inner: Tensor, edge_index: Tensor, edge_attr: Tensor, batch: Tensor) -> Tensor:
    count = torch.bincount(batch)
    square = count * count
    first = torch.cumsum(square, 0) - square
    graph = torch.repeat_interleave(torch.arange(count.size(0), device=batch.device), square)
    base = first.index_select(0, graph)
    n = count.index_select(0, graph)
    local = torch.arange(graph.size(0), device=batch.device) - base
    i = torch.div(local, torch.clamp(n, 1), rounding_mode="floor")
    j = local - i * n
    h = hops.reshape(-1).to(4)
    row = torch.clamp(torch.clamp(h, 0, {max}) + {shift}, 0, {last})
    out = self.distance.index_select(0, torch.where(h == 255, torch.full_like(row, {last}), row))
)";

// Codes: 0 no edge, 1 a step without an edge, 2 + e edge e. Of repeated edges one with the largest
// columns counts; all of those have the same row.
constexpr const char* kEdges = R"(
    s = edge_index[0]
    t = edge_index[1]
    g = batch.index_select(0, s)
    zero = (torch.cumsum(count, 0) - count).index_select(0, g)
    place = first.index_select(0, g) + (s - zero) * count.index_select(0, g) + t - zero
    limits = torch.tensor([{limits}], device=s.device)
    columns = edge_attr[:, :{columns}].to(4)
    wrong = torch.nonzero((columns < 0) | (columns >= limits))
    if wrong.size(0) > 0:
        e = int(wrong[0][0])
        c = int(wrong[0][1])
        assert False, "edge_attr: row {{}} column {{}} holds {{}}; expected a category from 0 to {{}}".format(e, c, int(columns[e][c]), int(limits[c]) - 1)
    key = torch.zeros_like(s)
    for c in range({columns}):
        key = key * limits[c] + columns[:, c]
    most = torch.full_like(h, -1).scatter_reduce(0, place, key, "amax")
    chosen = torch.nonzero(key == most.index_select(0, place)).reshape(-1)
    kind = torch.ones_like(h)
    kind.index_copy_(0, place.index_select(0, chosen), chosen + 2)
    rows = torch.cat([{pad}, {jump}, ({mean}) / {columns}.0])
)";

constexpr const char* kSingle = R"(
    out = out + rows.index_select(0, torch.where(kind > 1, kind, torch.zeros_like(kind)))
)";

// Paths of a pair are those of its two halves, one after the other.
constexpr const char* kSteps = R"(
    k = inner.reshape(-1).to(4)
    reach = (h > 0) & (h < 255)
    direct = reach & (k < 0)
    left = base + i * n + torch.clamp(k, 0)
    right = base + torch.clamp(k, 0) * n + j
    length = direct.to(4)
    steps = torch.zeros([h.size(0), {hops}], dtype=4, device=h.device)
    steps[:, 0] = kind * length
    column = torch.arange({hops}, device=h.device).unsqueeze(0)
    done = torch.logical_not(reach & (k >= 0))
    while not bool(torch.all(done)):
        ready = torch.logical_not(done) & done.index_select(0, left) & done.index_select(0, right)
        p = torch.nonzero(ready).reshape(-1)
        assert p.numel() > 0, "shortest_path: inner nodes lead in a circle"
        a = left.index_select(0, p)
        b = right.index_select(0, p)
        after = column - length.index_select(0, a).unsqueeze(1)
        tail = steps.index_select(0, b).gather(1, torch.clamp(after, 0))
        steps.index_copy_(0, p, torch.where(after < 0, steps.index_select(0, a), tail))
        length.index_copy_(0, p, length.index_select(0, a) + length.index_select(0, b))
        done.index_fill_(0, p, True)
)";

// The sum over the steps, then its mean.
constexpr const char* kTotal = R"(
    total = torch.zeros_like(out)
    for hop in range(longest):
        code = steps[:, hop] if hop < {hops} else torch.zeros_like(h)
        total = total + torch.matmul(rows, self.hop[hop]).index_select(0, code)
)";

constexpr const char* kFusedTotal = R"(
    tables = torch.matmul(rows.unsqueeze(0), self.hop[:longest])
    total = gtrain.path_sum(h, inner.reshape(-1).to(4), kind, tables, batch, {hops})
)";

constexpr const char* kMean = R"(
    divisor = torch.where(h == 255, torch.full_like(h, {unreachable}), torch.clamp(h, 1, {hops}))
    out = out + total / divisor.to(total.dtype).unsqueeze(1)
)";

constexpr const char* kLongest =
    "    if h.numel() > 0 and bool(torch.all(h < 255)):\n"
    "        longest = min(longest, int(h.max()))\n";

constexpr const char* kCut = R"(
    out = torch.where((h >= {cut}).unsqueeze(1), torch.full_like(out, float("-inf")), out)
)";

constexpr const char* kToken = R"(
    side = count + 1
    square = side * side
    start = torch.cumsum(square, 0) - square
    place = start.index_select(0, graph) + (i + 1) * (n + 1) + j + 1
    every = self.token.expand(int(square.sum()), -1)
    out = torch.index_copy(every, 0, place, out)
)";

constexpr const char* kBlocks = R"(
def blocks(self, bias: Tensor, batch: Tensor, groups: List[Tensor]) -> List[Tensor]:
    out: List[Tensor] = []
    count = torch.bincount(batch)
    square = count * count
    start = torch.cumsum(square, 0) - square
    for rows in groups:
        n = rows.size(1)
        first = start.index_select(0, batch.index_select(0, rows[:, 0]))
        pair = first.unsqueeze(1) + torch.arange(n * n, device=batch.device).unsqueeze(0)
        block = bias.index_select(0, pair.reshape(-1)).reshape(rows.size(0), n, n, bias.size(1))
        out.append(block.permute(0, 3, 1, 2))
    return out
)";

}  // namespace

std::string GraphBias::path_script(bool fused) const {
  const bool v1 = options_.quirk("v1_padding"), port = options_.quirk("port_padding");
  std::string text = fused ? "" : fmt::format(kSteps + 1, fmt::arg("hops", options_.hops));
  text += fmt::format("    longest = {}\n", port ? hop.size(0) : options_.hops);
  if (v1) text += kLongest;
  text += fmt::format(fmt::runtime((fused ? kFusedTotal : kTotal) + 1),
                      fmt::arg("hops", options_.hops));
  return text +
         fmt::format(kMean + 1, fmt::arg("hops", options_.hops),
                     fmt::arg("unreachable", port ? options_.max_distance + 1 : options_.hops));
}

std::string GraphBias::forward_script(bool fused) const {
  const bool padding = options_.quirk("padding_rows"), v1 = options_.quirk("v1_padding"),
             port = options_.quirk("port_padding");
  std::string text =
      fmt::format(kPairs + 1, fmt::arg("max", options_.max_distance),
                  fmt::arg("shift", padding ? 1 : 0), fmt::arg("last", distance.size(0) - 1));
  if (edge.defined()) {
    const std::string none = "torch.zeros_like(self.edge[:1])";
    std::string mean;
    for (std::size_t c = 0; c < offset_.size(); ++c) {
      mean += fmt::format("{}torch.embedding(self.edge, edge_attr[:, {}].to(4) + {})",
                          c == 0 ? "" : " + ", c, offset_[c]);
    }
    text += fmt::format(kEdges + 1, fmt::arg("pad", v1 || port ? "self.edge[:1]" : none),
                        fmt::arg("jump", padding ? "self.edge[1:2]" : none), fmt::arg("mean", mean),
                        fmt::arg("columns", offset_.size()),
                        fmt::arg("limits", fmt::format("{}", fmt::join(categories_, ", "))));
    text += hop.defined() ? path_script(fused) : kSingle + 1;
  }
  if (options_.cut > 0) text += fmt::format(kCut + 1, fmt::arg("cut", options_.cut));
  if (token.defined()) text += kToken + 1;
  return text + "    return out\n";
}

std::string GraphBias::script() const { return forward_script(false) + (kBlocks + 1); }

// All pairs at once, each head's as one stretch of memory (ops/varlen_attention.h).
std::string GraphBias::fused_script() const {
  return forward_script(true) +
         "def blocks(self, bias: Tensor, batch: Tensor, groups: List[Tensor]) -> List[Tensor]:\n"
         "    return [bias.t().contiguous().t()]\n";
}

}  // namespace gtrain::nn

#include "gtrain/nn/graph_token.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "gtrain/ops/gather.h"

namespace gtrain::nn {
namespace {

// torch.sort of int64 on the CPU is std::sort below this many entries, a stable radix sort from
// there on, whatever the processor and the number of threads.
constexpr std::size_t kRadixSorted = 32768;

// Rows of [tokens; nodes] in torch's order by graph.
std::vector<std::int64_t> unstable_order(const at::Tensor& graph_start) {
  const std::int64_t graphs = graph_start.size(0) - 1;
  const std::int64_t* start = graph_start.const_data_ptr<std::int64_t>();
  std::vector<std::pair<std::int64_t, std::int64_t>> rows;  // graph, row
  for (std::int64_t g = 0; g < graphs; ++g) rows.emplace_back(g, g);
  for (std::int64_t g = 0; g < graphs; ++g) {
    for (std::int64_t i = start[g]; i < start[g + 1]; ++i) rows.emplace_back(g, graphs + i);
  }
  const auto earlier = [](const auto& a, const auto& b) { return a.first < b.first; };
  if (rows.size() < kRadixSorted) {
    std::sort(rows.begin(), rows.end(), earlier);
  } else {
    std::stable_sort(rows.begin(), rows.end(), earlier);
  }
  std::vector<std::int64_t> order;
  for (const auto& [graph, row] : rows) order.push_back(row);
  return order;
}

}  // namespace

GraphToken::GraphToken(std::int64_t width, bool unstable) : unstable_(unstable) {
  vector = parameter("vector", {1, width});
}

at::Tensor GraphToken::forward(const at::Tensor& x, const at::Tensor& graph_start) {
  const std::int64_t graphs = graph_start.size(0) - 1, nodes = x.size(0);
  const std::int64_t* start = graph_start.const_data_ptr<std::int64_t>();
  const at::Tensor index = at::empty({nodes + graphs}, at::kLong);
  std::int64_t* to = index.mutable_data_ptr<std::int64_t>();
  if (unstable_) {
    for (const std::int64_t row : unstable_order(graph_start)) {
      *to++ = row < graphs ? nodes : row - graphs;
    }
  } else {
    for (std::int64_t g = 0; g < graphs; ++g) {
      *to++ = nodes;
      for (std::int64_t i = start[g]; i < start[g + 1]; ++i) *to++ = i;
    }
  }
  return ops::gather(at::cat({x, vector}), ops::row_index(index, nodes + 1));
}

std::string GraphToken::script() const {
  const std::string extended =
      "def extended(self, batch: Tensor) -> Tensor:\n"
      "    graphs = int(batch[-1]) + 1 if batch.numel() > 0 else 0\n"
      "    own = torch.arange(graphs, device=batch.device)\n"
      "    return torch.sort(torch.cat([own, batch]))[0]\n";
  const std::string head =
      "def forward(self, x: Tensor, batch: Tensor) -> Tensor:\n"
      "    graphs = int(batch[-1]) + 1 if batch.numel() > 0 else 0\n";
  if (unstable_) {
    return head +
           "    own = torch.arange(graphs, device=batch.device)\n"
           "    order = torch.sort(torch.cat([own, batch]))[1]\n"
           "    every = torch.cat([self.vector.expand(graphs, -1), x])\n"
           "    return every.index_select(0, order)\n" +
           extended;
  }
  return head +
         "    every = self.vector.expand(x.size(0) + graphs, -1)\n"
         "    rows = torch.arange(x.size(0), device=x.device) + batch + 1\n"
         "    return torch.index_copy(every, 0, rows, x)\n" +
         extended;
}

void GraphToken::initialise(base::Random& random) { draw_normal(vector, 0.02, random); }

at::Tensor token_start(const at::Tensor& graph_start) {
  const at::Tensor out = graph_start.clone();
  std::int64_t* start = out.mutable_data_ptr<std::int64_t>();
  for (std::int64_t g = 0; g < out.size(0); ++g) start[g] += g;
  return out;
}

at::Tensor node_rows(const at::Tensor& graph_start) {
  const std::int64_t graphs = graph_start.size(0) - 1;
  const std::int64_t* start = graph_start.const_data_ptr<std::int64_t>();
  const at::Tensor out = at::empty({start[graphs]}, at::kLong);
  std::int64_t* to = out.mutable_data_ptr<std::int64_t>();
  for (std::int64_t g = 0; g < graphs; ++g) {
    for (std::int64_t i = start[g]; i < start[g + 1]; ++i) *to++ = i + g + 1;
  }
  return out;
}

}  // namespace gtrain::nn

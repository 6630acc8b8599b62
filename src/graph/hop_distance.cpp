#include "gtrain/graph/hop_distance.h"

#include <fmt/format.h>
#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>

#include <algorithm>

#include "gtrain/base/error.h"

namespace gtrain::graph {
namespace {

constexpr std::size_t at(Id i) { return static_cast<std::size_t>(i); }

// Breadth-first over stored rows; `queue` is scratch of size N.
void search(const Csr& graph, Id root, std::vector<Id>& hops, std::vector<Id>& queue) {
  std::fill(hops.begin(), hops.end(), kUnreachable);
  queue.clear();
  queue.push_back(root);
  hops[at(root)] = 0;
  for (std::size_t head = 0; head < queue.size(); ++head) {
    const Id i = queue[head];
    for (const Id j : graph.row(i)) {
      if (hops[at(j)] != kUnreachable) continue;
      hops[at(j)] = hops[at(i)] + 1;
      queue.push_back(j);
    }
  }
}

}  // namespace

std::vector<Id> hops_to(const Csr& graph, Id target) {
  if (target < 0 || target >= graph.nodes()) {
    throw base::DataError(
        fmt::format("hop distance: node {}; expected one in [0, {})", target, graph.nodes()));
  }
  std::vector<Id> hops(at(graph.nodes()));
  std::vector<Id> queue;
  queue.reserve(hops.size());
  search(graph, target, hops, queue);
  return hops;
}

std::vector<Id> hops_from(const Csr& graph, Id source) { return hops_to(transpose(graph), source); }

void hop_matrix(const Csr& graph, std::uint8_t cap, std::span<std::uint8_t> out) {
  const std::size_t n = at(graph.nodes());
  if (out.size() != n * n) {
    throw base::DataError(
        fmt::format("hop distance: {} bytes for {} nodes; expected {}", out.size(), n, n * n));
  }
  const Csr outgoing = transpose(graph);
  const Id limit = std::min<Id>(cap, kUnreachableByte - 1);
  constexpr std::size_t kRows = 64;
  tbb::parallel_for(tbb::blocked_range<std::size_t>(0, n, kRows), [&](const auto& range) {
    std::vector<Id> hops(n);
    std::vector<Id> queue;
    queue.reserve(n);
    for (std::size_t i = range.begin(); i != range.end(); ++i) {
      search(outgoing, static_cast<Id>(i), hops, queue);
      std::transform(hops.begin(), hops.end(), out.begin() + static_cast<std::ptrdiff_t>(i * n),
                     [limit](Id h) {
                       return h == kUnreachable ? kUnreachableByte
                                                : static_cast<std::uint8_t>(std::min(h, limit));
                     });
    }
  });
}

}  // namespace gtrain::graph

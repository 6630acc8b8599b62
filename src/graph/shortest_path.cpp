#include "gtrain/graph/shortest_path.h"

#include <fmt/format.h>
#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>

#include <algorithm>
#include <limits>

#include "gtrain/base/error.h"
#include "gtrain/graph/hop_distance.h"

namespace gtrain::graph {
namespace {

constexpr std::size_t at(Id i) { return static_cast<std::size_t>(i); }

// Rows by source whose targets stand in the order of the original edges.
Csr successors(const Csr& graph) {
  Csr out = transpose(graph);
  for (Id i = 0; i < out.nodes(); ++i) {
    std::vector<std::pair<Id, Id>> row;
    for (Id e = out.start[at(i)]; e < out.start[at(i) + 1]; ++e) {
      row.emplace_back(graph.edge[at(out.edge[at(e)])], out.source[at(e)]);
    }
    std::sort(row.begin(), row.end());
    for (std::size_t r = 0; r < row.size(); ++r) {
      out.source[at(out.start[at(i)]) + r] = row[r].second;
    }
  }
  return out;
}

struct Search {
  std::vector<Id> hops, parent, queue;

  explicit Search(std::size_t n) : hops(n), parent(n) { queue.reserve(n); }

  void run(const Csr& outgoing, Id root) {
    std::fill(hops.begin(), hops.end(), kUnreachable);
    queue.assign(1, root);
    hops[at(root)] = 0;
    for (std::size_t head = 0; head < queue.size(); ++head) {
      const Id i = queue[head];
      for (const Id j : outgoing.row(i)) {
        if (hops[at(j)] != kUnreachable) continue;
        hops[at(j)] = hops[at(i)] + 1;
        parent[at(j)] = i;
        queue.push_back(j);
      }
    }
  }
};

void by_search(const Csr& graph, PathTie tie, std::span<std::int32_t> out) {
  const std::size_t n = at(graph.nodes());
  const Csr outgoing = tie == PathTie::kSearch ? successors(graph) : transpose(graph);
  constexpr std::size_t kRows = 16;
  tbb::parallel_for(tbb::blocked_range<std::size_t>(0, n, kRows), [&](const auto& range) {
    Search search(n);
    for (std::size_t i = range.begin(); i != range.end(); ++i) {
      search.run(outgoing, static_cast<Id>(i));
      for (std::size_t j = 0; j < n; ++j) {
        std::int32_t& inner = out[i * n + j];
        inner = kNoInnerNode;
        if (search.hops[j] < 2) continue;
        if (tie == PathTie::kSearch) {
          inner = static_cast<std::int32_t>(search.parent[j]);
          continue;
        }
        for (const Id p : graph.row(static_cast<Id>(j))) {  // ascending
          if (search.hops[at(p)] == search.hops[j] - 1) {
            inner = static_cast<std::int32_t>(p);
            break;
          }
        }
      }
    }
  });
}

void by_relaxation(const Csr& graph, std::span<std::int32_t> out) {
  const std::size_t n = at(graph.nodes());
  constexpr std::int32_t kFar = std::numeric_limits<std::int32_t>::max() / 2;
  std::vector<std::int32_t> hops(n * n, kFar);
  for (std::size_t j = 0; j < n; ++j) {
    for (const Id i : graph.row(static_cast<Id>(j))) hops[at(i) * n + j] = 1;
  }
  for (std::size_t i = 0; i < n; ++i) hops[i * n + i] = 0;
  std::fill(out.begin(), out.end(), kNoInnerNode);
  for (std::size_t k = 0; k < n; ++k) {
    const std::int32_t* from = hops.data() + k * n;
    for (std::size_t i = 0; i < n; ++i) {
      const std::int32_t to = hops[i * n + k];
      if (to >= kFar) continue;
      for (std::size_t j = 0; j < n; ++j) {
        if (to + from[j] >= hops[i * n + j]) continue;
        hops[i * n + j] = to + from[j];
        out[i * n + j] = static_cast<std::int32_t>(k);
      }
    }
  }
}

}  // namespace

void inner_nodes(const Csr& graph, PathTie tie, std::span<std::int32_t> out) {
  const std::size_t n = at(graph.nodes());
  if (out.size() != n * n) {
    throw base::DataError(
        fmt::format("shortest path: {} numbers for {} nodes; expected {}", out.size(), n, n * n));
  }
  if (tie == PathTie::kRelaxation) {
    by_relaxation(graph, out);
  } else {
    by_search(graph, tie, out);
  }
}

std::vector<Id> path_nodes(std::span<const std::int32_t> inner, Id n, Id i, Id j) {
  std::vector<Id> path{i}, ahead{j};  // `ahead`: nodes still to come, the next one last
  while (!ahead.empty()) {
    const std::int32_t k = inner[at(path.back() * n + ahead.back())];
    if (k != kNoInnerNode) {
      ahead.push_back(k);
    } else {
      path.push_back(ahead.back());
      ahead.pop_back();
    }
    if (static_cast<Id>(path.size() + ahead.size()) > n + 1) {
      throw base::DataError(
          fmt::format("shortest path: from {} to {} there is no end of inner nodes", i, j));
    }
  }
  return path;
}

}  // namespace gtrain::graph

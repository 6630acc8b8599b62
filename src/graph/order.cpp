#include "gtrain/graph/order.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <utility>

#include "gtrain/base/error.h"

namespace gtrain::graph {
namespace {

constexpr std::size_t at(Id i) { return static_cast<std::size_t>(i); }

Id degree(const Csr& graph, Id i) { return graph.start[at(i) + 1] - graph.start[at(i)]; }

bool before(const Csr& graph, Id a, Id b) {
  return std::pair(degree(graph, a), a) < std::pair(degree(graph, b), b);
}

struct Sweep {
  std::size_t last = 0;  // where the last level begins in `order`
  Id levels = 0;
};

// Appends the component of `root` breadth-first to `order`, neighbours by (degree, id). Nodes with
// mark[i] == tag count as visited.
Sweep sweep(const Csr& graph, Id root, Id tag, std::vector<Id>& mark, std::vector<Id>& order) {
  Sweep out;
  std::size_t head = order.size();
  order.push_back(root);
  mark[at(root)] = tag;
  while (head < order.size()) {
    out.last = head;
    ++out.levels;
    const std::size_t level_end = order.size();
    for (; head < level_end; ++head) {
      const std::size_t first = order.size();
      for (const Id j : graph.row(order[head])) {
        if (mark[at(j)] == tag) continue;
        mark[at(j)] = tag;
        order.push_back(j);
      }
      std::sort(order.begin() + static_cast<std::ptrdiff_t>(first), order.end(),
                [&](Id a, Id b) { return before(graph, a, b); });
    }
  }
  return out;
}

// Gibbs, Poole & Stockmeyer 1976: go to the least connected node of the last level for as long as
// the levels get more.
Id pseudo_peripheral(const Csr& graph, Id root, Id& tag, std::vector<Id>& mark,
                     std::vector<Id>& scratch) {
  Id levels = 0;
  while (true) {
    scratch.clear();
    const Sweep found = sweep(graph, root, ++tag, mark, scratch);
    if (found.levels <= levels) return root;
    levels = found.levels;
    root = *std::min_element(scratch.begin() + static_cast<std::ptrdiff_t>(found.last),
                             scratch.end(), [&](Id a, Id b) { return before(graph, a, b); });
  }
}

std::vector<Id> positions(Id nodes, std::span<const Id> order) {
  std::vector<Id> position(at(nodes), -1);
  bool good = static_cast<Id>(order.size()) == nodes;
  for (std::size_t p = 0; good && p < order.size(); ++p) {
    good = order[p] >= 0 && order[p] < nodes && position[at(order[p])] == -1;
    if (good) position[at(order[p])] = static_cast<Id>(p);
  }
  if (!good) {
    throw base::DataError(fmt::format(
        "node order: {} entries that do not name every node once; expected a permutation of {}",
        order.size(), nodes));
  }
  return position;
}

}  // namespace

std::vector<Id> reverse_cuthill_mckee(const Csr& graph) {
  const Csr simple = deduplicate(symmetrise(graph), true);
  const Id n = simple.nodes();
  std::vector<Id> mark(at(n), 0);  // tag of the last search that met the node
  std::vector<Id> scratch;
  std::vector<Id> order;
  order.reserve(at(n));
  Id tag = 0;
  std::vector<bool> placed(at(n), false);
  for (Id i = 0; i < n; ++i) {
    if (placed[at(i)]) continue;
    const Id root = pseudo_peripheral(simple, i, tag, mark, scratch);
    const std::size_t first = order.size();
    sweep(simple, root, ++tag, mark, order);
    for (std::size_t p = first; p < order.size(); ++p) placed[at(order[p])] = true;
  }
  std::reverse(order.begin(), order.end());
  return order;
}

Id bandwidth(const Csr& graph, std::span<const Id> order) {
  const std::vector<Id> position = positions(graph.nodes(), order);
  Id widest = 0;
  for (Id i = 0; i < graph.nodes(); ++i) {
    for (const Id j : graph.row(i)) {
      widest = std::max(widest, std::abs(position[at(i)] - position[at(j)]));
    }
  }
  return widest;
}

Id bandwidth(const Csr& graph) {
  std::vector<Id> order(at(graph.nodes()));
  std::iota(order.begin(), order.end(), Id{0});
  return bandwidth(graph, order);
}

Csr permute(const Csr& graph, std::span<const Id> order) {
  const std::vector<Id> position = positions(graph.nodes(), order);
  std::vector<Id> source(graph.source.size());
  std::vector<Id> target(graph.source.size());
  std::vector<Id> entry(graph.source.size());
  std::size_t to = 0;
  for (const Id i : order) {
    for (Id e = graph.start[at(i)]; e < graph.start[at(i) + 1]; ++e, ++to) {
      source[to] = position[at(graph.source[at(e)])];
      target[to] = position[at(i)];
      entry[to] = graph.edge[at(e)];
    }
  }
  Csr out = build(graph.nodes(), source, target);
  for (Id& e : out.edge) e = entry[at(e)];
  return out;
}

}  // namespace gtrain::graph

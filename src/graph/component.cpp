#include "gtrain/graph/component.h"

#include <numeric>
#include <utility>

namespace gtrain::graph {
namespace {

constexpr std::size_t at(Id i) { return static_cast<std::size_t>(i); }

Id root_of(std::vector<Id>& parent, Id i) {
  while (parent[at(i)] != i) {
    parent[at(i)] = parent[at(parent[at(i)])];
    i = parent[at(i)];
  }
  return i;
}

}  // namespace

Components components(const Csr& graph) {
  const Id n = graph.nodes();
  std::vector<Id> parent(at(n));
  std::iota(parent.begin(), parent.end(), Id{0});
  for (Id i = 0; i < n; ++i) {
    for (const Id j : graph.row(i)) {
      Id a = root_of(parent, i);
      Id b = root_of(parent, j);
      if (a > b) std::swap(a, b);
      parent[at(b)] = a;  // the smaller id stays root, so roots come first below
    }
  }
  Components out;
  out.label.resize(at(n));
  for (Id i = 0; i < n; ++i) {
    const Id root = root_of(parent, i);
    out.label[at(i)] = root == i ? out.count++ : out.label[at(root)];
  }
  return out;
}

}  // namespace gtrain::graph

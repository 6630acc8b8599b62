#include "gtrain/graph/khop.h"

#include <fmt/format.h>
#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>

#include <algorithm>
#include <numeric>

#include "gtrain/base/error.h"

namespace gtrain::graph {
namespace {

constexpr std::size_t at(Id i) { return static_cast<std::size_t>(i); }

// Nodes within `hops` of i, i first. `seen[j] == i` marks j as found in this search.
void collect(const Csr& graph, Id i, Id hops, std::vector<Id>& seen, std::vector<Id>& found) {
  found.assign(1, i);
  seen[at(i)] = i;
  std::size_t head = 0;
  for (Id h = 0; h < hops && head < found.size(); ++h) {
    const std::size_t level_end = found.size();
    for (; head < level_end; ++head) {
      for (const Id j : graph.row(found[head])) {
        if (seen[at(j)] == i) continue;
        seen[at(j)] = i;
        found.push_back(j);
      }
    }
  }
}

}  // namespace

Csr khop(const Csr& graph, Id hops, bool with_self) {
  if (hops < 0) throw base::DataError(fmt::format("k-hop: {} hops; expected 0 or more", hops));
  const Id n = graph.nodes();
  std::vector<std::vector<Id>> rows(at(n));
  constexpr Id kRows = 256;
  tbb::parallel_for(tbb::blocked_range<Id>(0, n, kRows), [&](const auto& range) {
    std::vector<Id> seen(at(n), -1);
    std::vector<Id> found;
    for (Id i = range.begin(); i != range.end(); ++i) {
      collect(graph, i, hops, seen, found);
      rows[at(i)].assign(found.begin() + (with_self ? 0 : 1), found.end());
      std::sort(rows[at(i)].begin(), rows[at(i)].end());
    }
  });
  Csr out;
  out.start.reserve(at(n) + 1);
  for (const auto& row : rows) {
    out.start.push_back(out.start.back() + static_cast<Id>(row.size()));
  }
  out.source.reserve(at(out.start.back()));
  for (const auto& row : rows) out.source.insert(out.source.end(), row.begin(), row.end());
  out.edge.resize(out.source.size());
  std::iota(out.edge.begin(), out.edge.end(), Id{0});
  return out;
}

}  // namespace gtrain::graph

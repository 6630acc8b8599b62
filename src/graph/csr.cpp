#include "gtrain/graph/csr.h"

#include <fmt/format.h>
#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>
#include <tbb/parallel_reduce.h>

#include <algorithm>
#include <atomic>
#include <limits>
#include <numeric>
#include <tuple>
#include <utility>

#include "gtrain/base/error.h"

namespace gtrain::graph {
namespace {

using Range = tbb::blocked_range<Id>;
constexpr Id kGrain = 4096;
constexpr Id kNone = std::numeric_limits<Id>::max();

constexpr std::size_t at(Id i) { return static_cast<std::size_t>(i); }

// First index in [0, n) for which `bad` holds, else kNone; the same for any thread count.
template <class Bad>
Id first_where(Id n, const Bad& bad) {
  return tbb::parallel_reduce(
      Range(0, n, kGrain), kNone,
      [&](const Range& r, Id found) {
        for (Id i = r.begin(); i != r.end(); ++i) {
          if (bad(i)) return std::min(found, i);
        }
        return found;
      },
      [](Id a, Id b) { return std::min(a, b); });
}

template <class Body>
void each(Id n, const Body& body) {
  tbb::parallel_for(Range(0, n, kGrain), [&](const Range& r) {
    for (Id i = r.begin(); i != r.end(); ++i) body(i);
  });
}

void check_ends(Id nodes, std::span<const Id> source, std::span<const Id> target) {
  if (nodes < 0) {
    throw base::DataError(fmt::format("graph: {} nodes; expected 0 or more", nodes));
  }
  if (source.size() != target.size()) {
    throw base::DataError(fmt::format("edge list: {} sources and {} targets; expected as many",
                                      source.size(), target.size()));
  }
  const auto outside = [nodes](Id v) { return v < 0 || v >= nodes; };
  const Id bad = first_where(static_cast<Id>(source.size()), [&](Id e) {
    return outside(source[at(e)]) || outside(target[at(e)]);
  });
  if (bad != kNone) {
    throw base::DataError(fmt::format("edge list (row {}): edge {} -> {}; expected both in [0, {})",
                                      bad + 1, source[at(bad)], target[at(bad)], nodes));
  }
}

// Sorts row i by (source, edge), which also removes any trace of the order of arrival.
void sort_row(Csr& graph, Id i, std::vector<std::pair<Id, Id>>& pairs) {
  const std::size_t begin = at(graph.start[at(i)]);
  const std::size_t end = at(graph.start[at(i) + 1]);
  pairs.clear();
  for (std::size_t e = begin; e < end; ++e) pairs.emplace_back(graph.source[e], graph.edge[e]);
  std::sort(pairs.begin(), pairs.end());
  for (std::size_t e = begin; e < end; ++e) {
    std::tie(graph.source[e], graph.edge[e]) = pairs[e - begin];
  }
}

// Row of every entry.
std::vector<Id> rows_of(const Csr& graph) {
  std::vector<Id> row(graph.source.size());
  each(graph.nodes(), [&](Id i) {
    std::fill(row.begin() + graph.start[at(i)], row.begin() + graph.start[at(i) + 1], i);
  });
  return row;
}

// Keeps, of each run of equal sources in a row, one entry that carries the run's smallest edge.
Csr merge_runs(const Csr& graph, bool drop_self_loops) {
  const auto leads = [&](Id i, Id e) {
    const Id j = graph.source[at(e)];
    if (drop_self_loops && j == i) return false;
    return e == graph.start[at(i)] || graph.source[at(e) - 1] != j;
  };
  Csr out;
  out.start.assign(graph.start.size(), 0);
  each(graph.nodes(), [&](Id i) {
    for (Id e = graph.start[at(i)]; e < graph.start[at(i) + 1]; ++e) {
      out.start[at(i) + 1] += leads(i, e);
    }
  });
  std::partial_sum(out.start.begin(), out.start.end(), out.start.begin());
  out.source.resize(at(out.start.back()));
  out.edge.resize(at(out.start.back()));
  each(graph.nodes(), [&](Id i) {
    std::size_t to = at(out.start[at(i)]);
    for (Id e = graph.start[at(i)]; e < graph.start[at(i) + 1]; ++e) {
      if (leads(i, e)) {
        out.source[to] = graph.source[at(e)];
        out.edge[to++] = graph.edge[at(e)];
      } else if (to > at(out.start[at(i)]) && out.source[to - 1] == graph.source[at(e)]) {
        out.edge[to - 1] = std::min(out.edge[to - 1], graph.edge[at(e)]);
      }
    }
  });
  return out;
}

}  // namespace

Csr build(Id nodes, std::span<const Id> source, std::span<const Id> target) {
  check_ends(nodes, source, target);
  const auto edges = static_cast<Id>(source.size());
  Csr graph;
  graph.start.assign(at(nodes) + 1, 0);
  graph.source.resize(source.size());
  graph.edge.resize(source.size());
  each(edges, [&](Id e) {
    std::atomic_ref<Id>(graph.start[at(target[at(e)]) + 1]).fetch_add(1, std::memory_order_relaxed);
  });
  std::partial_sum(graph.start.begin(), graph.start.end(), graph.start.begin());
  std::vector<Id> next(graph.start.begin(), graph.start.end() - 1);
  each(edges, [&](Id e) {
    const Id to =
        std::atomic_ref<Id>(next[at(target[at(e)])]).fetch_add(1, std::memory_order_relaxed);
    graph.source[at(to)] = source[at(e)];
    graph.edge[at(to)] = e;
  });
  tbb::parallel_for(Range(0, nodes, kGrain), [&](const Range& r) {
    std::vector<std::pair<Id, Id>> pairs;
    for (Id i = r.begin(); i != r.end(); ++i) sort_row(graph, i, pairs);
  });
  return graph;
}

Csr transpose(const Csr& graph) { return build(graph.nodes(), rows_of(graph), graph.source); }

Csr symmetrise(const Csr& graph) {
  std::vector<Id> source = graph.source;
  std::vector<Id> target = rows_of(graph);
  source.insert(source.end(), target.begin(), target.end());
  target.insert(target.end(), graph.source.begin(), graph.source.end());
  Csr both = build(graph.nodes(), source, target);
  each(both.edges(), [&](Id e) {
    Id& edge = both.edge[at(e)];
    edge = graph.edge[at(edge < graph.edges() ? edge : edge - graph.edges())];
  });
  return merge_runs(both, false);
}

Csr deduplicate(const Csr& graph, bool drop_self_loops) {
  return merge_runs(graph, drop_self_loops);
}

bool symmetric(const Csr& graph) {
  const Id bad = first_where(graph.nodes(), [&](Id i) {
    const auto row = graph.row(i);
    return std::any_of(row.begin(), row.end(), [&](Id j) {
      const auto back = graph.row(j);
      return !std::binary_search(back.begin(), back.end(), i);
    });
  });
  return bad == kNone;
}

void validate(const Csr& graph) {
  const auto fail = [](const std::string& what) { throw base::DataError("graph: " + what); };
  if (graph.start.empty() || graph.start.front() != 0) {
    fail("the first row does not start at 0; expected start[0] = 0");
  }
  const Id n = graph.nodes();
  const Id back = first_where(n, [&](Id i) { return graph.start[at(i)] > graph.start[at(i) + 1]; });
  if (back != kNone) {
    fail(fmt::format("row {} ends at {} before its start {}; expected monotone row starts", back,
                     graph.start[at(back) + 1], graph.start[at(back)]));
  }
  if (graph.start.back() != graph.edges()) {
    fail(fmt::format("the rows end at {}; expected the number of entries, {}", graph.start.back(),
                     graph.edges()));
  }
  if (graph.edge.size() != graph.source.size()) {
    fail(fmt::format("{} edge ids for {} entries; expected as many", graph.edge.size(),
                     graph.source.size()));
  }
  const Id outside = first_where(graph.edges(), [&](Id e) {
    return graph.source[at(e)] < 0 || graph.source[at(e)] >= n || graph.edge[at(e)] < 0;
  });
  if (outside != kNone) {
    fail(
        fmt::format("entry {} has source {} and edge {}; expected a source in [0, {}) and an "
                    "edge of 0 or more",
                    outside, graph.source[at(outside)], graph.edge[at(outside)], n));
  }
  const Id unsorted = first_where(
      n, [&](Id i) { return !std::is_sorted(graph.row(i).begin(), graph.row(i).end()); });
  if (unsorted != kNone) {
    fail(fmt::format("the sources of row {} are not ascending; expected them sorted", unsorted));
  }
}

}  // namespace gtrain::graph

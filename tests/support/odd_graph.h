// Odd graphs as edge lists, the shapes that break code: for tests of every room. An undirected edge
// stands twice, next to its reverse. No tensors and no Csr here, so that any room can use it.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "gtrain/base/random.h"

namespace gtrain::support {

struct OddGraph {
  std::string name;
  std::int64_t nodes = 0;
  std::vector<std::int64_t> source;
  std::vector<std::int64_t> target;

  void arc(std::int64_t from, std::int64_t to) {
    source.push_back(from);
    target.push_back(to);
  }
  void edge(std::int64_t a, std::int64_t b) {
    arc(a, b);
    arc(b, a);
  }
};

inline OddGraph edgeless(std::int64_t n) { return {"edgeless" + std::to_string(n), n, {}, {}}; }

inline OddGraph path(std::int64_t n) {
  OddGraph g{"path" + std::to_string(n), n, {}, {}};
  for (std::int64_t i = 1; i < n; ++i) g.edge(i - 1, i);
  return g;
}

// n >= 3 nodes.
inline OddGraph cycle(std::int64_t n) {
  OddGraph g = path(n);
  g.name = "cycle" + std::to_string(n);
  g.edge(n - 1, 0);
  return g;
}

// Node 0 is the centre.
inline OddGraph star(std::int64_t n) {
  OddGraph g{"star" + std::to_string(n), n, {}, {}};
  for (std::int64_t i = 1; i < n; ++i) g.edge(0, i);
  return g;
}

inline OddGraph complete(std::int64_t n) {
  OddGraph g{"complete" + std::to_string(n), n, {}, {}};
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = i + 1; j < n; ++j) g.edge(i, j);
  }
  return g;
}

inline OddGraph grid(std::int64_t rows, std::int64_t columns) {
  OddGraph g{"grid" + std::to_string(rows) + "x" + std::to_string(columns), rows * columns, {}, {}};
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < columns; ++c) {
      const std::int64_t i = r * columns + c;
      if (c + 1 < columns) g.edge(i, i + 1);
      if (r + 1 < rows) g.edge(i, i + columns);
    }
  }
  return g;
}

inline OddGraph directed_path(std::int64_t n) {
  OddGraph g{"directed_path" + std::to_string(n), n, {}, {}};
  for (std::int64_t i = 1; i < n; ++i) g.arc(i - 1, i);
  return g;
}

// A cycle of 5 and a path of 4 whose node ids interleave.
inline OddGraph two_components() {
  OddGraph g{"two_components", 9, {}, {}};
  const std::int64_t ring[] = {0, 2, 4, 6, 8};
  for (int i = 0; i < 5; ++i) g.edge(ring[i], ring[(i + 1) % 5]);
  g.edge(1, 3);
  g.edge(3, 5);
  g.edge(5, 7);
  return g;
}

// A triangle with a self loop at node 0.
inline OddGraph self_loop() {
  OddGraph g = complete(3);
  g.name = "self_loop";
  g.arc(0, 0);
  return g;
}

// A path of 3 and one node without edges, in the middle of the numbering.
inline OddGraph isolated_node() {
  OddGraph g{"isolated_node", 4, {}, {}};
  g.edge(0, 1);
  g.edge(1, 3);
  return g;
}

// Every possible arc i -> j, i != j, with probability p, or both directions when `undirected`.
inline OddGraph random_graph(std::uint64_t seed, std::int64_t n, double p, bool undirected = true) {
  OddGraph g{"random" + std::to_string(seed), n, {}, {}};
  base::Random random(base::key(seed, base::Purpose::kGenerate));
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t j = undirected ? i + 1 : 0; j < n; ++j) {
      if (i == j || random.uniform() >= p) continue;
      if (undirected) {
        g.edge(i, j);
      } else {
        g.arc(i, j);
      }
    }
  }
  return g;
}

// Any arcs at all: self loops and repeats included.
inline OddGraph random_arcs(std::uint64_t seed, std::int64_t n, std::int64_t arcs) {
  OddGraph g{"arcs" + std::to_string(seed), n, {}, {}};
  base::Random random(base::key(seed, base::Purpose::kGenerate));
  const auto bound = static_cast<std::uint64_t>(n);
  for (std::int64_t e = 0; e < arcs; ++e) {
    const auto from = static_cast<std::int64_t>(random.below(bound));
    g.arc(from, static_cast<std::int64_t>(random.below(bound)));
  }
  return g;
}

inline std::vector<OddGraph> odd_graphs() {
  std::vector<OddGraph> all{edgeless(0),
                            edgeless(1),
                            edgeless(3),
                            isolated_node(),
                            self_loop(),
                            star(7),
                            cycle(8),
                            path(6),
                            complete(5),
                            two_components(),
                            grid(3, 3),
                            directed_path(4),
                            path(2),
                            random_graph(1, 20, 0.2),
                            random_graph(2, 17, 0.15, false)};
  return all;
}

}  // namespace gtrain::support

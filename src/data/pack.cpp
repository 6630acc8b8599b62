#include "gtrain/data/pack.h"

#include <fmt/format.h>
#include <tbb/blocked_range.h>
#include <tbb/enumerable_thread_specific.h>
#include <tbb/parallel_for.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>

#include "gtrain/base/error.h"
#include "gtrain/data/feature.h"
#include "gtrain/data/label.h"
#include "gtrain/data/vocabulary.h"

namespace gtrain::data {
namespace {

constexpr std::int64_t kNone = std::numeric_limits<std::int64_t>::max();

// Running sums of counts: [G+1].
Column starts(const Column& counts, const char* name, std::int64_t factor) {
  auto out = make_column<std::int64_t>(name, Per::kGraph, counts.rows + 1, 1);
  for (std::int64_t g = 0; g < counts.rows; ++g) {
    out.data[g + 1] = out.data[g] + factor * counts.as<std::int64_t>()[g];
  }
  return out.column;
}

void lower(std::atomic<std::int64_t>& smallest, std::int64_t value) {
  std::int64_t seen = smallest.load();
  while (value < seen && !smallest.compare_exchange_weak(seen, value)) {
  }
}

// Two counting sorts, by source and then by target, both stable.
class RowSorter {
 public:
  // ends: the graph's stored edges, 2 numbers each. Writes source[m], row_start[n] (row i begins at
  // base + …) and order[m], the position before sorting, m = edges (twice that when doubled).
  template <class T>
  void sort(const T* ends, std::int64_t nodes, std::int64_t edges, bool doubled) {
    const std::int64_t m = doubled ? 2 * edges : edges;
    const auto size = static_cast<std::size_t>(m);
    if (by_source_.size() < size) by_source_.resize(size);
    if (order.size() < size) order.resize(size);
    const auto from = [&](std::int64_t k) {
      return doubled ? ends[2 * (k / 2) + (k & 1)] : ends[2 * k];
    };
    const auto to = [&](std::int64_t k) {
      return doubled ? ends[2 * (k / 2) + 1 - (k & 1)] : ends[2 * k + 1];
    };
    count(nodes, m, from, start);
    for (std::int64_t k = 0; k < m; ++k) by_source_[next(from(k))] = k;
    count(nodes, m, to, start);
    for (std::size_t i = 0; i < size; ++i) {
      const std::int64_t k = by_source_[i];
      order[next(to(k))] = k;
    }
  }

  std::vector<std::int64_t> start;  // [n+1] row begins of the last sort
  std::vector<std::int64_t> order;

 private:
  template <class F>
  void count(std::int64_t nodes, std::int64_t m, F key, std::vector<std::int64_t>& begin) {
    begin.assign(static_cast<std::size_t>(nodes) + 1, 0);
    for (std::int64_t k = 0; k < m; ++k) ++begin[static_cast<std::size_t>(key(k)) + 1];
    for (std::size_t i = 1; i < begin.size(); ++i) begin[i] += begin[i - 1];
    cursor_ = begin;
  }
  template <class T>
  std::size_t next(T key) {
    return static_cast<std::size_t>(cursor_[static_cast<std::size_t>(key)]++);
  }

  std::vector<std::int64_t> by_source_, cursor_;
};

class Packer {
 public:
  Packer(const Folder& folder, bool doubled) : folder_(folder), doubled_(doubled) {}

  void run(Dataset& d) {
    check_sizes();
    d.node_start = starts(folder_.num_nodes, "node_start", 1);
    d.edge_start = starts(folder_.num_edges, "edge_start", doubled_ ? 2 : 1);
    const std::int64_t graphs = d.graphs();
    const std::int64_t nodes = d.node_start.as<std::int64_t>()[graphs];
    const std::int64_t edges = d.edge_start.as<std::int64_t>()[graphs];
    auto row_start = make_column<std::int64_t>("row_start", Per::kNode, nodes + 1, 1);
    auto source = make_column<std::int32_t>("source", Per::kEdge, edges, 1);
    const Column& from = folder_.edge_features;
    Filling<void> features = make_column(from.dtype, "edge_features", Per::kEdge,
                                         from.width == 0 ? 0 : edges, from.width);
    row_start_ = row_start.data;
    source_ = source.data;
    features_ = static_cast<char*>(features.data);
    row_start_[nodes] = edges;
    d.row_start = row_start.column;
    d.source = source.column;
    d.edge_features = features.column;
    visit(folder_.edges, [&](const auto* ends) {
      tbb::parallel_for(tbb::blocked_range<std::int64_t>(0, graphs, 256), [&](const auto& range) {
        for (std::int64_t g = range.begin(); g < range.end(); ++g) graph(d, g, ends);
      });
    });
    if (bad_row_ != kNone) fail(d);
  }

 private:
  // Node ids within a graph are stored in 32 bits.
  void check_sizes() const {
    constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
    const Column& counts = folder_.num_nodes;
    const auto* nodes = counts.as<std::int64_t>();
    const auto* large = std::find_if(nodes, nodes + counts.rows, [](auto n) { return n > kMost; });
    if (large == nodes + counts.rows) return;
    throw base::DataError(fmt::format("{} (row {}): {} nodes in one graph; expected at most {}",
                                      folder_.file.at("num_nodes"), large - nodes + 1, *large,
                                      kMost));
  }

  template <class T>
  void graph(const Dataset& d, std::int64_t g, const T* all) {
    const std::int64_t nodes = folder_.num_nodes.as<std::int64_t>()[g];
    const std::int64_t edges = folder_.num_edges.as<std::int64_t>()[g];
    const std::int64_t base = d.edge_start.as<std::int64_t>()[g];
    const std::int64_t first_row = doubled_ ? base / 2 : base;
    const T* ends = all + 2 * first_row;
    for (std::int64_t e = 0; e < 2 * edges; ++e) {
      const auto end = static_cast<std::int64_t>(ends[e]);
      if (end < 0 || end >= nodes) return lower(bad_row_, first_row + e / 2);
    }
    RowSorter& sorter = sorters_.local();
    sorter.sort(ends, nodes, edges, doubled_);
    std::int64_t* rows = row_start_ + d.node_start.as<std::int64_t>()[g];
    for (std::int64_t i = 0; i < nodes; ++i) {
      rows[i] = base + sorter.start[static_cast<std::size_t>(i)];
    }
    const std::size_t row_bytes =
        static_cast<std::size_t>(d.edge_features.width) * size_of(d.edge_features.dtype);
    const auto* from = static_cast<const char*>(folder_.edge_features.data);
    const std::int64_t m = doubled_ ? 2 * edges : edges;
    for (std::int64_t p = 0; p < m; ++p) {
      const std::int64_t k = sorter.order[static_cast<std::size_t>(p)];
      const std::int64_t e = doubled_ ? k / 2 : k;
      const bool reversed = doubled_ && (k & 1) != 0;
      source_[base + p] = static_cast<std::int32_t>(ends[2 * e + (reversed ? 1 : 0)]);
      if (row_bytes != 0) {
        std::memcpy(features_ + static_cast<std::size_t>(base + p) * row_bytes,
                    from + static_cast<std::size_t>(first_row + e) * row_bytes, row_bytes);
      }
    }
  }

  [[noreturn]] void fail(const Dataset& d) const {
    const std::int64_t row = bad_row_;
    const auto* begin = d.edge_start.as<std::int64_t>();
    const std::int64_t entry = doubled_ ? 2 * row : row;
    const std::int64_t g = std::upper_bound(begin, begin + d.graphs() + 1, entry) - begin - 1;
    const std::int64_t nodes = d.nodes_of(g);
    const auto [a, b] = visit(folder_.edges, [&](const auto* p) {
      return std::pair(static_cast<std::int64_t>(p[2 * row]),
                       static_cast<std::int64_t>(p[2 * row + 1]));
    });
    throw base::DataError(
        fmt::format("{} (row {}): edge {},{} in graph {}, which has {} nodes; expected {}",
                    folder_.file.at("edges"), row + 1, a, b, g, nodes,
                    nodes == 0 ? "no edges" : fmt::format("ends from 0 to {}", nodes - 1)));
  }

  const Folder& folder_;
  const bool doubled_;
  std::int64_t* row_start_ = nullptr;
  std::int32_t* source_ = nullptr;
  char* features_ = nullptr;
  std::atomic<std::int64_t> bad_row_ = kNone;
  tbb::enumerable_thread_specific<RowSorter> sorters_;
};

bool reversed_everywhere(const Dataset& d, std::int64_t g) {
  const auto* start = d.row_start.as<std::int64_t>();
  const auto* source = d.source.as<std::int32_t>();
  const std::int64_t first = d.node_start.as<std::int64_t>()[g];
  for (std::int64_t i = first; i < d.node_start.as<std::int64_t>()[g + 1]; ++i) {
    for (std::int64_t e = start[i]; e < start[i + 1]; ++e) {
      const std::int64_t j = first + source[e];
      if (!std::binary_search(source + start[j], source + start[j + 1],
                              static_cast<std::int32_t>(i - first))) {
        return false;
      }
    }
  }
  return true;
}

bool undirected(const Dataset& d) {
  std::atomic<bool> all = true;
  tbb::parallel_for(std::int64_t{0}, d.graphs(), [&](std::int64_t g) {
    if (all.load(std::memory_order_relaxed) && !reversed_everywhere(d, g)) all = false;
  });
  return all;
}

// Binary folders carry any type: integers into the smallest that holds them, reals into finite F32.
Column narrowed(const Column& column, const std::string& where) {
  const std::int64_t cells = column.rows * column.width;
  if (column.integer()) {
    std::int64_t low = 0;
    std::int64_t high = 0;
    visit(column, [&](const auto* p) {
      for (std::int64_t i = 0; i < cells; ++i) {
        low = std::min(low, static_cast<std::int64_t>(p[i]));
        high = std::max(high, static_cast<std::int64_t>(p[i]));
      }
    });
    Filling<void> out =
        make_column(integer_type(low, high), column.name, column.per, column.rows, column.width);
    visit(column, [&](const auto* p) {
      visit(out.column, [&](const auto* typed) {
        using T = std::remove_const_t<std::remove_pointer_t<decltype(typed)>>;
        for (std::int64_t i = 0; i < cells; ++i)
          static_cast<T*>(out.data)[i] = static_cast<T>(p[i]);
      });
    });
    return out.column;
  }
  auto out = make_column<float>(column.name, column.per, column.rows, column.width);
  visit(column, [&](const auto* p) {
    for (std::int64_t i = 0; i < cells; ++i) {
      out.data[i] = static_cast<float>(p[i]);
      if (!std::isfinite(out.data[i])) {
        throw base::DataError(fmt::format("{} (row {}): {} in {}; expected finite numbers", where,
                                          i / column.width + 1, out.data[i], column.name));
      }
    }
  });
  return out.column;
}

std::string file_of(const Folder& folder, const char* key) {
  const auto it = folder.file.find(key);
  return it == folder.file.end() ? folder.path : it->second;
}

void pack_features(Dataset& d, const Folder& folder, const PackRules& rules) {
  d.node_features = folder.node_features;
  if (folder.binary) {
    d.node_features = narrowed(d.node_features, file_of(folder, "node_features"));
    d.edge_features = narrowed(d.edge_features, file_of(folder, "edge_features"));
  }
  if (d.node_features.width == 0) d.node_features.rows = 0;
  d.node_features.name = "node_features";
  if (rules.features == "numeric") return;
  d.info.node_categories = categories_of(d.node_features, stated_node_categories(rules),
                                         file_of(folder, "node_features"));
  // Of the file's own rows, so that a message names the right one.
  d.info.edge_categories = categories_of(folder.edge_features, stated_edge_categories(rules),
                                         file_of(folder, "edge_features"));
}

// The vocabulary is that of the default scheme's training split.
void pack_tokens(Dataset& d, const Folder& folder, const PackRules& rules) {
  const auto scheme = rules.split.empty() && folder.splits.size() == 1
                          ? folder.splits.begin()
                          : folder.splits.find(rules.split);
  if (scheme == folder.splits.end()) {
    throw base::DataError(fmt::format(
        "{}: no split that the vocabulary could be made from; expected split/<scheme>, and "
        "dataset.split, or split in card.yaml, to say which where there are several",
        folder.path));
  }
  d.info.vocabulary = vocabulary_of(folder.texts, scheme->second.train);
  d.info.classes = static_cast<std::int64_t>(d.info.vocabulary.size());
  d.info.positions = kTokenPositions;
  d.labels = token_labels(folder.texts, d.info.vocabulary);
}

void pack_pairs(Dataset& d, const Folder& folder) {
  d.pair_start = starts(folder.num_pairs, "pair_start", 1);
  auto out = make_column<std::int32_t>("pairs", Per::kEdge, folder.pairs.rows, 2);
  const auto* begin = d.pair_start.as<std::int64_t>();
  visit(folder.pairs, [&](const auto* p) {
    for (std::int64_t g = 0; g < d.graphs(); ++g) {
      for (std::int64_t i = 2 * begin[g]; i < 2 * begin[g + 1]; ++i) {
        const auto end = static_cast<std::int64_t>(p[i]);
        if (end < 0 || end >= d.nodes_of(g)) {
          throw base::DataError(
              fmt::format("{} (row {}): node {} in graph {}, which has {} nodes; expected less",
                          folder.file.at("pairs"), i / 2 + 1, end, g, d.nodes_of(g)));
        }
        out.data[i] = static_cast<std::int32_t>(end);
      }
    }
  });
  d.pairs = out.column;
}

}  // namespace

std::vector<std::int64_t> stated_node_categories(const PackRules& rules) {
  return rules.node_categories.empty() ? ogb_atom_categories(rules.features)
                                       : rules.node_categories;
}

std::vector<std::int64_t> stated_edge_categories(const PackRules& rules) {
  return rules.edge_categories.empty() ? ogb_bond_categories(rules.features)
                                       : rules.edge_categories;
}

Dataset pack(const Folder& folder, const PackRules& rules) {
  if (folder.binary && rules.add_inverse_edge) {
    throw base::RecipeError(
        fmt::format("dataset.add_inverse_edge: true, but {} holds both directions already as OGB's "
                    "binary format always does; expected false",
                    folder.file.at("edges")));
  }
  Dataset d;
  d.info.name = rules.name;
  d.info.task = rules.task;
  d.info.metric = rules.metric;
  d.info.split = rules.split;
  d.info.classes = rules.classes;
  Packer(folder, rules.add_inverse_edge).run(d);
  d.info.undirected = rules.add_inverse_edge || undirected(d);
  pack_features(d, folder, rules);
  if (is_subtoken(rules.task)) {
    pack_tokens(d, folder, rules);
  } else {
    d.labels = labels_for(rules.task, folder.labels, folder.file.at("labels"), d.info.classes);
  }
  if (level_of(rules.task) == Level::kEdge) pack_pairs(d, folder);
  d.splits = folder.splits;
  return d;
}

}  // namespace gtrain::data

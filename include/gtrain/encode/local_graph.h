// One graph as the encodings see it: rows by destination, ids local to the graph, no features. It
// is a reusable buffer: `assign` copies from a Csr or from one graph of a data set and keeps the
// allocation, so a loop over 40,000 molecules allocates a handful of times.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "gtrain/data/dataset.h"
#include "gtrain/graph/csr.h"

namespace gtrain::encode {

class LocalGraph {
 public:
  LocalGraph() = default;
  explicit LocalGraph(const graph::Csr& graph) { assign(graph); }

  void assign(const graph::Csr& graph);
  void assign(const data::Dataset& dataset, std::int64_t g);

  std::int32_t nodes() const { return static_cast<std::int32_t>(start_.size()) - 1; }
  std::int64_t edges() const { return static_cast<std::int64_t>(source_.size()); }
  // Sources j of the edges j -> i, ascending.
  std::span<const std::int32_t> row(std::int32_t i) const {
    const std::size_t r = static_cast<std::size_t>(i);
    return {source_.data() + start_[r], static_cast<std::size_t>(start_[r + 1] - start_[r])};
  }
  // Occurrences of each node as a source [n], repeats counted.
  std::vector<std::int32_t> out_degrees() const;
  graph::Csr csr() const;

 private:
  std::vector<std::int64_t> start_{0};
  std::vector<std::int32_t> source_;
};

}  // namespace gtrain::encode

#include "gtrain/data/transform.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <limits>
#include <utility>

#include "gtrain/base/durable.h"
#include "gtrain/base/error.h"

namespace gtrain::data {
namespace {

constexpr const char* kLabelledZero = "virtual_label_zero";

// Copies `rows` rows from row `from` of a column to row `to` of another of its type and width.
void copy_rows(const Column& column, void* out, std::int64_t to, std::int64_t from,
               std::int64_t rows) {
  const auto bytes = size_of(column.dtype) * static_cast<std::size_t>(column.width);
  std::memcpy(static_cast<std::byte*>(out) + static_cast<std::size_t>(to) * bytes,
              static_cast<const std::byte*>(column.data) + static_cast<std::size_t>(from) * bytes,
              static_cast<std::size_t>(rows) * bytes);
}

// Adds a virtual node to every graph. New row of node r of graph g: r + g; of its virtual node:
// node_start[g + 1] + g.
class VirtualNodes {
 public:
  VirtualNodes(const Dataset& dataset, bool pure) : d_(dataset), pure_(pure) {
    node_start_ = d_.node_start.as<std::int64_t>();
    row_start_ = d_.row_start.as<std::int64_t>();
    starts();
  }

  Dataset dataset(bool label_zero) const {
    Dataset out = d_;
    out.node_start = new_node_start_;
    out.edge_start = new_edge_start_;
    out.row_start = new_row_start_;
    out.source = sources();
    out.node_features = nodes(d_.node_features);
    out.edge_features = edges(d_.edge_features);
    if (level_of(d_.info.task) == Level::kNode) out.labels = labels(label_zero);
    out.info.virtual_node = true;
    return out;
  }

  Column encoding(const Column& column) const {
    if (column.per == Per::kPair) {
      throw base::RecipeError(
          fmt::format("dataset.transform: virtual_node cannot extend the encoding {}, which has a "
                      "row for each pair of nodes; expected after: import, or no such encoding",
                      column.name));
    }
    if (column.per == Per::kGraph) return column;
    return column.per == Per::kNode ? nodes(column) : edges(column);
  }

 private:
  void starts() {
    const std::int64_t graphs = d_.graphs();
    auto node = make_column<std::int64_t>("node_start", Per::kGraph, graphs + 1, 1);
    auto edge = make_column<std::int64_t>("edge_start", Per::kGraph, graphs + 1, 1);
    auto row = make_column<std::int64_t>("row_start", Per::kNode, d_.nodes() + graphs + 1, 1);
    for (std::int64_t g = 0; g < graphs; ++g) {
      const std::int64_t first = node_start_[g], last = node_start_[g + 1];
      for (std::int64_t r = first; r < last; ++r) {
        const std::int64_t own = pure_ ? 0 : row_start_[r + 1] - row_start_[r];
        row.data[r + g + 1] = row.data[r + g] + own + 1;
      }
      row.data[last + g + 1] = row.data[last + g] + last - first;
      node.data[g + 1] = last + g + 1;
      edge.data[g + 1] = row.data[last + g + 1];
    }
    new_node_start_ = node.column;
    new_edge_start_ = edge.column;
    new_row_start_ = row.column;
  }

  std::int64_t new_edges() const {
    return new_row_start_.as<std::int64_t>()[new_row_start_.rows - 1];
  }

  Filling<void> moved_edges(const Column& column) const {
    auto out = make_column(column.dtype, column.name, column.per, new_edges(), column.width);
    if (pure_) return out;
    const auto* start = new_row_start_.as<std::int64_t>();
    for (std::int64_t g = 0; g < d_.graphs(); ++g) {
      for (std::int64_t r = node_start_[g]; r < node_start_[g + 1]; ++r) {
        copy_rows(column, out.data, start[r + g], row_start_[r], row_start_[r + 1] - row_start_[r]);
      }
    }
    return out;
  }

  Column edges(const Column& column) const {
    return column.width == 0 ? column : moved_edges(column).column;
  }

  Column sources() const {
    const Filling<void> out = moved_edges(d_.source);
    auto* source = static_cast<std::int32_t*>(out.data);
    const auto* start = new_row_start_.as<std::int64_t>();
    for (std::int64_t g = 0; g < d_.graphs(); ++g) {
      const std::int64_t nodes = d_.nodes_of(g);
      const std::int64_t first = node_start_[g] + g;
      for (std::int64_t i = 0; i < nodes; ++i) {
        source[start[first + i + 1] - 1] = static_cast<std::int32_t>(nodes);
        source[start[first + nodes] + i] = static_cast<std::int32_t>(i);
      }
    }
    return out.column;
  }

  Filling<void> moved_nodes(const Column& column) const {
    auto out =
        make_column(column.dtype, column.name, column.per, column.rows + d_.graphs(), column.width);
    for (std::int64_t g = 0; g < d_.graphs(); ++g) {
      copy_rows(column, out.data, node_start_[g] + g, node_start_[g], d_.nodes_of(g));
    }
    return out;
  }

  Column nodes(const Column& column) const {
    return column.width == 0 ? column : moved_nodes(column).column;
  }

  Column labels(bool zero) const {
    const Filling<void> out = moved_nodes(d_.labels);
    if (zero) return out.column;
    for (std::int64_t g = 0; g < d_.graphs(); ++g) {
      const std::int64_t first = (node_start_[g + 1] + g) * d_.labels.width;
      if (d_.labels.integer()) {
        std::fill_n(static_cast<std::int64_t*>(out.data) + first, d_.labels.width, -1);
      } else {
        std::fill_n(static_cast<float*>(out.data) + first, d_.labels.width,
                    std::numeric_limits<float>::quiet_NaN());
      }
    }
    return out.column;
  }

  const Dataset& d_;
  bool pure_;
  const std::int64_t* node_start_;
  const std::int64_t* row_start_;
  Column new_node_start_, new_edge_start_, new_row_start_;
};

Transformed apply(const Transformed& in, const VirtualNodeOptions& o) {
  if (in.dataset.info.virtual_node) {
    throw base::RecipeError(
        "dataset.transform: virtual_node stands twice; expected one virtual node a graph");
  }
  const VirtualNodes nodes(in.dataset, o.pure);
  const bool zero = std::find(o.quirks.begin(), o.quirks.end(), kLabelledZero) != o.quirks.end();
  Transformed out{nodes.dataset(zero), {}};
  for (const Column& column : in.encodings) out.encodings.push_back(nodes.encoding(column));
  if (o.after == "import") {
    out.dataset.info.hash = base::hash_hex(out.dataset.info.hash + " transform: virtual_node" +
                                           (o.pure ? ", pure" : ""));
  }
  return out;
}

}  // namespace

void VirtualNodeOptions::fields(base::FieldVisitor& f) {
  f({.key = "after",
     .doc = "encode: encodings are of the graph without it and 0 for it; import: they see it",
     .one_of = {"encode", "import"}},
    after);
  f({.key = "pure", .doc = "true: the graph's own edges are dropped"}, pure);
  f({.key = "quirks",
     .doc = "virtual_label_zero: in node tasks it has the label 0 and counts in loss and metric",
     .one_of = {kLabelledZero}},
    quirks);
}

Transformed transform(Dataset dataset, std::vector<Column> encodings,
                      const std::vector<TransformOptions>& options, std::string_view stage) {
  Transformed out{std::move(dataset), std::move(encodings)};
  for (const TransformOptions& option : options) {
    std::visit(
        [&](const auto& o) {
          if (o.after == stage) out = apply(out, o);
        },
        option);
  }
  return out;
}

}  // namespace gtrain::data

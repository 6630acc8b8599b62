// The virtual node of LRGB's fork as a change of the data: graphs with their encodings before and
// after it, as packed data sets and through batches.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "golden/module_case.h"
#include "gtrain/data/transform.h"

namespace gtrain::golden {
namespace {

struct Packed {
  data::Dataset dataset;
  std::vector<data::Column> encodings;
};

template <class T>
data::Column column_of(const std::string& name, data::Per per, const at::Tensor& rows) {
  auto out = data::make_column<T>(name, per, rows.size(0), rows.size(1));
  const at::Tensor values = rows.contiguous();
  std::copy_n(values.const_data_ptr<T>(), values.numel(), out.data);
  return out.column;
}

data::Column starts(const std::string& name, const at::Tensor& values) {
  return column_of<std::int64_t>(name, data::Per::kGraph, values.unsqueeze(1));
}

// Input graph g as a data set of one graph; its edges in the order of a batch.
Packed pack(const Case& c, std::int64_t g) {
  const std::string prefix = fmt::format("input.g{}.", g);
  const at::Tensor x = c.input(prefix + "x", at::kFloat);
  data::GraphBatch sorted;
  const at::Tensor ends = c.input(prefix + "edge_index", at::kFloat);
  sorted.source = ends[0].contiguous();
  sorted.target = ends[1].contiguous();
  sorted.graph = at::zeros({x.size(0)}, at::kLong);
  sorted.edge = c.input(prefix + "edge_attr", at::kFloat);
  data::finish(sorted, x.size(0), 1);
  Packed out;
  data::Dataset& d = out.dataset;
  d.info.task = data::Task::kGraphMultilabel;
  d.node_start = starts("node_start", at::tensor({std::int64_t{0}, x.size(0)}));
  d.edge_start = starts("edge_start", at::tensor({std::int64_t{0}, sorted.edges()}));
  d.row_start = starts("row_start", sorted.in_start);
  d.source =
      column_of<std::int32_t>("source", data::Per::kEdge, sorted.source.to(at::kInt).unsqueeze(1));
  d.node_features = column_of<std::int64_t>("node_features", data::Per::kNode, x);
  d.edge_features = column_of<std::int64_t>("edge_features", data::Per::kEdge, sorted.edge);
  d.info.node_categories.assign(static_cast<std::size_t>(x.size(1)), 1000);
  d.info.edge_categories.assign(static_cast<std::size_t>(sorted.edge.size(1)), 1000);
  d.labels = column_of<float>("labels", data::Per::kGraph, c.input(prefix + "y", at::kFloat));
  for (const char* name : {"pestat_RWSE", "EigVecs", "EigVals"}) {
    const at::Tensor rows = c.input(prefix + name, at::kFloat);
    out.encodings.push_back(
        column_of<float>(name, data::Per::kNode, rows.reshape({x.size(0), -1})));
  }
  return out;
}

void check_graph(const Case& c, Checker& checker, std::int64_t g, bool pure) {
  const Packed packed = pack(c, g);
  data::VirtualNodeOptions options;
  options.pure = pure;
  const data::Transformed made =
      data::transform(packed.dataset, packed.encodings, {options}, options.after);
  const std::int64_t only = 0;
  const data::GraphBatch batch = data::collate(made.dataset, made.encodings, {&only, 1});
  // Node arrays are the same with and without the graph's own edges.
  const std::string nodes = fmt::format("output.g{}.vn.", g);
  const std::string edges = fmt::format("output.g{}.{}.", g, pure ? "pure" : "vn");
  const auto want = [&](const std::string& key) { return c.expected(key, at::kFloat); };
  const auto close = [&](const std::string& key, const at::Tensor& got, const at::Tensor& wanted) {
    checker.close(key, got, wanted, {1e-30, 0});
  };
  data::GraphBatch sorted;
  sorted.source = want(edges + "edge_index")[0].contiguous();
  sorted.target = want(edges + "edge_index")[1].contiguous();
  sorted.graph = at::zeros({batch.nodes()}, at::kLong);
  sorted.edge = want(edges + "edge_attr");
  data::finish(sorted, batch.nodes(), 1);
  close(edges + "edge_index[0]", batch.source, sorted.source);
  close(edges + "edge_index[1]", batch.target, sorted.target);
  close(edges + "edge_attr", batch.edge, sorted.edge);
  close(nodes + "x", batch.node, want(nodes + "x"));
  close(nodes + "y", batch.label, want(nodes + "y"));
  for (const char* name : {"pestat_RWSE", "EigVecs", "EigVals"}) {
    close(nodes + name, batch.encoding.at(name), want(nodes + name));
  }
}

}  // namespace

void check_vn_transform(const Case& c, Checker& checker) {
  for (std::int64_t g = 0; c.has(fmt::format("input.g{}.x", g)); ++g) {
    check_graph(c, checker, g, false);
    check_graph(c, checker, g, true);
  }
}

}  // namespace gtrain::golden

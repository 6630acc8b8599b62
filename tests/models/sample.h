// A small packed batch with categorical columns and encodings, and options that fit it.
#pragma once

#include "gtrain/data/batch.h"
#include "gtrain/models/gps.h"
#include "gtrain/models/zoo.h"
#include "support/layer_case.h"

namespace gtrain::models::sample {

inline Signature signature() {
  Signature s;
  s.outputs = 2;
  s.node_width = 2;
  s.edge_width = 1;
  s.node_categories = {5, 3};
  s.edge_categories = {4};
  s.encodings = {{"random_walk", 6}, {"laplacian", 3}};
  return s;
}

inline GpsOptions options() {
  GpsOptions o;
  o.width = 16;
  o.layers = 2;
  o.heads = 4;
  o.node = CategoricalOptions{};
  o.edge = TypeOptions{};
  LinearEncoderOptions walk;
  walk.dim = 4;
  DeepSetEncoderOptions laplacian;
  laplacian.dim = 4;
  o.encoders = {walk, laplacian};
  o.head = HalvingHeadOptions{2, "mean"};
  return o;
}

// Graphs of the odd set, random columns; float encodings with NaN beyond a graph's size.
inline data::GraphBatch batch(const std::vector<support::OddGraph>& graphs) {
  const support::EdgeBatch packed = support::pack(graphs);
  data::GraphBatch b;
  b.graph = packed.graph;
  b.source = packed.edges.source;
  b.target = packed.edges.target;
  const std::int64_t n = packed.nodes, e = packed.edges.count();
  b.node = at::stack({at::arange(n) % 5, at::arange(n) % 3}, 1).to(at::kLong);
  b.edge = (at::arange(e) % 4).to(at::kLong).unsqueeze(1);
  data::finish(b, n, static_cast<std::int64_t>(graphs.size()));
  b.encoding["random_walk"] = at::arange(n * 6).view({n, 6}).sin().to(at::kDouble);
  const at::Tensor size =
      (packed.graph_start.slice(0, 1) - packed.graph_start.slice(0, 0, -1))
          .repeat_interleave(packed.graph_start.slice(0, 1) - packed.graph_start.slice(0, 0, -1));
  const at::Tensor missing = at::arange(3).unsqueeze(0) >= size.unsqueeze(1);
  for (const char* name : {"laplacian.values", "laplacian.vectors"}) {
    b.encoding[name] = at::arange(n * 3)
                           .view({n, 3})
                           .cos()
                           .to(at::kDouble)
                           .masked_fill(missing, std::numeric_limits<double>::quiet_NaN());
  }
  return b;
}

inline std::shared_ptr<Model> model(const GpsOptions& o, const Signature& s = signature()) {
  auto m = build(ModelOptions(o), s);
  initialise(*m, 11);
  m->to(at::kDouble);
  return m;
}

}  // namespace gtrain::models::sample

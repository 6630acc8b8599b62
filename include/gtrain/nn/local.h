// What every local branch is: one message-passing step over the edges of a packed batch, chosen by
// name. The layers themselves stand in nn/message.h, gen_conv.h, gat.h and pna.h.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gtrain/nn/activation.h"
#include "gtrain/nn/layer.h"
#include "gtrain/ops/gather.h"

namespace gtrain::nn {

struct LocalInput {
  at::Tensor x;        // [N, D]
  at::Tensor e;        // [E, edge_vector_width] in the order of `edges`; undefined: no edge vectors
  const Edges& edges;  // sorted by (target, source)
  at::Tensor positions;  // [N, K] for layers built with gates (nn/gate.h), else unread
};

class Local : public Layer {
 public:
  // (h [N, D], e): the update of x, to which the caller adds x and dropout, and the edge vectors,
  // replaced where the layer updates them. Scripted alike:
  //   forward(self, x: Tensor, e: Tensor, source: Tensor, target: Tensor, positions: Tensor)
  //     -> Tuple[Tensor, Tensor]
  virtual std::pair<at::Tensor, at::Tensor> forward(const LocalInput& input, Context& context) = 0;

  // Whether h is x plus its dropped update already: the caller adds neither.
  virtual bool residual() const { return false; }
};

struct LocalOptions {
  std::int64_t width = 64;  // D
  Activation activation = Activation::kRelu;
  double dropout = 0.0;    // of layers with a residual of their own
  std::int64_t heads = 4;  // of gat; divides width
  bool bias = true;        // of gcn, after its sum; false where a batch norm follows
  bool gates = false;      // scale messages by a function of |p_i - p_j|^2; see supports_gates
  bool edges = true;       // false: of layers that can do without edge vectors, one without
};

// name: one of local_names(). Throws c10::Error for another one, and for gates it does not support.
std::shared_ptr<Local> make_local(const std::string& name, const LocalOptions& options);

const std::vector<std::string_view>& local_names();
// Of names that are none: false.
bool reads_edge_vectors(std::string_view name);
bool needs_edge_vectors(std::string_view name);  // and cannot do without
bool supports_gates(std::string_view name);
// Channels of the edge vectors that a layer of `width` reads: as many, for pna at most 128.
std::int64_t edge_vector_width(std::string_view name, std::int64_t width);

// Rows of nodes at the ends of the edges, for ops::gather.
ops::RowIndex by_source(const Edges& edges);
ops::RowIndex by_target(const Edges& edges);

}  // namespace gtrain::nn

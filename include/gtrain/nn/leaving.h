// Rows that leave a network before its last layer. Between two layers a gate chooses which rows of
// the packed batch go on; the layers that follow run on those alone: a smaller packed batch of the
// same graphs, with the edges and pairs whose two ends are left. Who left keeps its last state, and
// gets its place again before the head:
//   x_l [N_l, D], S_l its rows that stay:   x = x_l[S_l], e = e[i, j in S_l], ...    layer l(x, e)
//   in the end:   x_i = the state of row i at the last boundary it came to          [N, D]
// Not which rows they are: sparsify/token_gate.h. Indices are those of the CPU; linear in rows,
// edges and pairs. Differentiable in the states, the edge vectors and the bias.
#pragma once

#include <string>
#include <vector>

#include "gtrain/nn/sparsity_gate.h"

namespace gtrain::nn {

// A network that asks the leave gate of each layer: others cannot do without rows.
class Narrowing {
 public:
  virtual ~Narrowing() = default;
};

// The rows of one forward.
class Leaving {
 public:
  // graph_start int64 [G+1] as it comes to the first layer.
  explicit Leaving(at::Tensor graph_start);
  // Those that go on before a layer, or nullopt: all do. `state` [N, D], one of `input.x` or what
  // it was made from, is kept for those that leave.
  std::optional<KeptRows> choose(TokenGate& gate, const GlobalInput& input, const at::Tensor& state,
                                 Context& context);
  // x of the rows that are left -> of all, [N, D].
  at::Tensor all(const at::Tensor& x) const;
  const at::Tensor& whole_start() const { return whole_start_; }

 private:
  at::Tensor whole_start_;
  at::Tensor number_;                    // of the rows that are left among all; undefined: all are
  std::vector<at::Tensor> gone_, last_;  // numbers of rows that left, and their states
};

// The edges both of whose ends stay, between the K rows, and which they were.
struct KeptEdges {
  Edges edges;
  ops::RowIndex which;  // of all edges, ascending
};
KeptEdges restricted(const Edges& edges, const KeptRows& kept);

// TorchScript of the same. Graphs of equal size at the start stay together in `groups` (their rows
// [g, n], nn/attention.h), so that each group has one size throughout.
//
// def <name>(self, x, state: Tensor, groups: List[Tensor], sizes: List[int], bias: List[Tensor])
//   -> Tuple[List[Tensor], Tensor]: for each group the columns [g, k] that stay, by the child
// `gate`, and `state` with what is added to its rows. sizes: n of each group at the start.
std::string chooser_script(const std::string& name, const std::string& child,
                           const TokenGate& gate);
// Methods: staying(groups, places) -> int64 [K] rows; regrouped(groups, places, kept, nodes) -> the
// groups by the numbers of those rows; kept_blocks(blocks, places): of [g, H, n, n] each;
// kept_edges(source, target, kept, nodes) -> which, source, target.
std::string leaving_methods();

// The layers of a network: statements over `h` [N, D], `rows` int64 [N] (graph of each) and
// `groups`, with what else there is between layers. Without a choice they are the layers' own.
struct LeavingScript {
  struct Step {
    std::string choice;  // before the layer, an expression of chooser_script's result; "": none
    std::string layer;   // its statement
  };
  std::vector<std::string> blocks = {};  // names of lists of [g, H, n, n]
  bool edges = false;                    // source, target and e
  bool positions = false;                // positions [N, K]
  std::vector<Step> steps = {};

  std::string methods() const;  // of the network, "" where nothing is chosen
  std::string statements() const;

 private:
  bool chooses() const;
  std::string before(const std::string& choice) const;
};

}  // namespace gtrain::nn

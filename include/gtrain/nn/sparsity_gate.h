// Where a network can be made sparser: gates that layers carry and sparsify/ attaches. A layer
// without gates computes what it always did, to the bit; a layer knows nothing of schedules, scores
// or masks, only what an interface below hands it. No model mentions them.
//   tokens  which rows of a packed batch take part in an attention: q, k, v of the others are not
//           computed, their update is 0
//   leave   which rows go on from here to the end of the network (nn/leaving.h)
//   heads   what becomes of the heads of an attention before its output projection
//   branch  what becomes of the update of a residual branch, before it is added
// Attached gates are registered as children ("token_gate", "leave_gate", "head_gate",
// "branch_gate", "feed_gate"), so that their parameters train and their buffers are saved with the
// model.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gtrain/nn/global.h"
#include "gtrain/ops/gather.h"

namespace gtrain::nn {

// K of N rows, graph by graph.
struct KeptRows {
  ops::RowIndex rows = {};      // ascending; undefined: all of them
  at::Tensor graph_start = {};  // int64 [G+1], CPU, of the K rows; undefined with `rows`
  at::Tensor scale = {};        // [K, 1], multiplied in: ones that carry a gradient; or undefined
  at::Tensor added = {};        // [K, D], added to the rows: what others left behind; or undefined
};

// Rows of which some are to stay.
struct Candidates {
  GlobalInput input;      // as the attention reads them
  at::Tensor state = {};  // [N, D]: what becomes of them; undefined: input.x
  at::Tensor whole_start =
      {};  // int64 [G+1]: the graphs before any row left; undefined: as they are
};

class Leaving;

class TokenGate {
 public:
  virtual ~TokenGate() = default;
  // nullopt: every row stays.
  virtual std::optional<KeptRows> choose(const Candidates& rows, Context& context) = 0;
  // Of its script, forward(x, rows, whole, weight) -> columns: of graphs of equal size, rows [g,
  // n], that had `whole` rows each, the columns that stay, ascending [g, k]; weight double [g, H,
  // n, n], what the rows attend to, where it reads them; and whether there is added(x, rows,
  // columns, weight) -> [g k, D], to be added to the rows that stay.
  virtual bool reads_weights() const { return false; }
  virtual bool adds() const { return false; }
};

class HeadGate {
 public:
  virtual ~HeadGate() = default;
  // attended [K, D], H heads of D/H contiguous channels; graph_start of those rows -> [K, D].
  virtual at::Tensor through(const at::Tensor& attended, const at::Tensor& graph_start,
                             Context& context) = 0;
  // Sees the output of the attention as a whole, [N, D]: an importance by output channels.
  virtual void observe(const at::Tensor& /*out*/, const at::Tensor& /*graph_start*/,
                       Context& /*context*/) {}
};

class BranchGate {
 public:
  virtual ~BranchGate() = default;
  // True: the branch adds nothing and need not be computed.
  virtual bool closed(const Context& context) const = 0;
  // update [N, D]; graph_start int64 [G+1], undefined where the layer has none -> [N, D].
  virtual at::Tensor through(const at::Tensor& update, const at::Tensor& graph_start,
                             Context& context) = 0;
};

// What an attention over listed pairs reads: rows, the vectors of the first pattern's pairs
// (undefined: none), and the patterns.
struct PairRows {
  at::Tensor x, edge;
  std::vector<ops::AttentionPattern> patterns;
};

// What of it is left.
struct KeptPairRows {
  KeptRows rows;
  ops::RowIndex edges;  // pairs of the first pattern
};

// An attention that carries gates.
class Gated {
 public:
  struct Parts {
    std::int64_t width = 0;  // D of its input and output
    std::int64_t heads = 0;  // H it can do without one by one; 0: none
    bool tokens = false;     // whether rows can be left out
  };
  // A parameter that holds a slice for each head: along `dim` all heads, one after another, and
  // that `stacks` times (3 in q | k | v).
  struct HeadSlices {
    std::string name;  // below the module: "in_weight", "node.out.weight"
    at::Tensor value;
    std::int64_t dim = 0, stacks = 1;
  };
  virtual ~Gated() = default;
  virtual Parts parts() const = 0;
  virtual std::vector<HeadSlices> head_slices() const = 0;

  // Leaves these heads alone, ascending, with the weights that they have; none: nothing attends,
  // and what the layer adds to its output besides is left.
  void keep_heads(const std::vector<std::int64_t>& heads);

  std::shared_ptr<TokenGate> token_gate, leave_gate;
  std::shared_ptr<HeadGate> head_gate;
  std::shared_ptr<BranchGate> branch_gate;

 protected:
  // After keep_heads took its slices: what else knows of the heads.
  virtual void heads_kept(const std::vector<std::int64_t>& heads) = 0;
  // Nothing attends and no update is made: need not be computed.
  bool shut(const Context& context) const { return branch_gate && branch_gate->closed(context); }
  // `attend`, on the rows that take part and with the gates of heads and branch around it.
  at::Tensor through_gates(const GlobalInput& input, Context& context,
                           const std::function<at::Tensor(const GlobalInput&)>& attend) const;
  // The same in two halves, for attention over listed pairs: leaves in `rows` what takes part
  // (nullopt: all of it), and puts the attended rows [K, D] back in their places, gated, [N, D].
  std::optional<KeptPairRows> keep_rows(PairRows& rows, const at::Tensor& graph_start,
                                        Context& context) const;
  at::Tensor gate_attended(const at::Tensor& attended, const std::optional<KeptPairRows>& kept,
                           const at::Tensor& graph_start, Context& context) const;
  // What heads and branch put out for the pairs of `pattern`, w [P, D] of all or of the kept ones,
  // gated as what they attend to is, [P, D].
  at::Tensor gate_pairs(const at::Tensor& w, const std::optional<KeptPairRows>& kept,
                        const ops::AttentionPattern& pattern, Context& context) const;
  // Leaves in `rows` those that go on to the end of the network (nn/leaving.h).
  void leave_rows(PairRows& rows, Leaving& leaving, Context& context) const;

  // TorchScript. Methods that choose the rows of attached gates (nn/leaving.h).
  std::string choice_script() const;
  // Statements from x, e, source, target and groups to `u`, `f`, source and target of what takes
  // part: rows `kept` and pairs `which`; groups and `blocks` (lists of [g, H, n, n]), too.
  std::string taken_script(const std::vector<std::string>& blocks = {}) const;
  // Statements of gate_attended or gate_pairs for a variable, or none: of the rows or pairs that
  // take part, whose numbers `index` has, to all, as many as `like` has.
  struct Gating {
    std::string variable, index, like;
  };
  std::string gated_script(const Gating& gating) const;
  at::Tensor gate_heads(const at::Tensor& attended, const at::Tensor& graph_start,
                        Context& context) const {
    return head_gate ? head_gate->through(attended, graph_start, context) : attended;
  }
};

// A layer whose feed-forward block is a residual branch that it can do without.
class FeedGated {
 public:
  virtual ~FeedGated() = default;
  std::shared_ptr<BranchGate> feed_gate;

 protected:
  // `feed` of x [N, D], with the gate around it.
  at::Tensor gate_feed(const at::Tensor& x, const at::Tensor& graph_start, Context& context,
                       const std::function<at::Tensor(const at::Tensor&)>& feed) const;
};

// The input with the kept rows alone: x, graph_start and the pairs of the bias. Its pattern is the
// caller's to restrict.
GlobalInput restricted(const GlobalInput& input, const KeptRows& kept);

// The pairs of a pattern whose two ends are kept, as a pattern over the K rows, and which they are.
struct KeptPairs {
  ops::AttentionPattern pattern;
  ops::RowIndex pairs;  // of all pairs, ascending
};
KeptPairs restricted(const ops::AttentionPattern& pattern, const KeptRows& kept);

}  // namespace gtrain::nn
